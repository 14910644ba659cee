"""The pane "inside" of a token: from a record of the log, and computed by a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shakegpt.runlog.control import SampleRequest
from shakegpt.runlog.schema import AttentionMap, BlockGuess, Command, Event, Inspection
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.run import inside
from tests.tui import logs
from tests.tui.screens import LARGE, SMALL, Driver, play, run_screen, text, until

TEXTS = {1: "ROMEO:", 2: " What", 3: " light", 1000: " What", 1001: " light"}
WEIGHTS = {  # block -> head -> a row for each of two drawn tokens
    0: [((1000,), (500, 500)), ((1000,), (900, 100))],
    1: [((1000,), (100, 900)), ((1000,), (300, 600))],
}


def record(initial: tuple[float, ...] | None = (0.005, 0.5), iteration: int = 5) -> Inspection:
    """Two drawn tokens after a prompt of one, in a model of two blocks with two heads."""

    def guesses(*values: tuple[int, int, float]) -> tuple[BlockGuess, ...]:
        return tuple(
            BlockGuess(rank=rank, probability=p, top=((id, 0.4),)) for rank, id, p in values
        )

    return Inspection(
        iteration=iteration,
        sample=1,
        context=((1, "ROMEO:"), (1000, " What")),
        drawn=((1000, " What"), (1001, " light")),
        guesses=(
            guesses((900, 3, 0.001), (1, 1000, 0.2), (1, 1000, 0.4)),
            guesses((50, 2, 0.01), (40, 3, 0.02), (2, 3, 0.25)),
        ),
        texts=TEXTS,
        attention=tuple(
            AttentionMap(block=block, head=head, rows=rows)
            for block, heads in WEIGHTS.items()
            for head, rows in enumerate(heads)
        ),
        initial=initial,
    )


def test_what_it_looked_at() -> None:
    shown = dict(inside.views(record(), 1))
    assert shown[inside.MEAN] == pytest.approx([0.45, 0.525])  # over blocks and heads
    assert shown["block 2, mean of its heads"] == pytest.approx([0.2, 0.75])
    assert shown["block 2, head 1: the sharpest here"] == [0.1, 0.9] == shown["block 2, head 1"]
    assert len(shown) == 2 + 2 * 3
    said = inside.looked_at(record(), "block 2, head 2", shown["block 2, head 2"])
    assert "ROMEO: What\n" in said.plain and "“ What” 60%, “ROMEO:” 30%" in said.plain
    assert "10% went to tokens before these" in said.plain and "not why" in said.plain
    styles = {said.plain[span.start : span.end]: str(span.style) for span in said.spans}
    assert "reverse" in styles[" What"] and "reverse" not in styles["ROMEO:"]


def test_when_it_decided_and_what_training_changed() -> None:
    first, second = (inside.decided(record(), place, 9, 80).plain for place in (0, 1))
    assert "“ What” leads from block 1 of 2 on." in first
    assert (
        "“ light” leads from block 1 of 2 on, but the draw took “ light”." in second
    )  # id 3, 1001
    assert "number 900" in first and "40%" in first and "noisy" in first
    assert len(inside.decided(record(), 0, 2, 80).plain.splitlines()) == 4  # of two blocks
    grown, shrunk = (inside.changed(record(), place, 80).plain for place in (0, 1))
    assert "0.50%" in grown and "40%" in grown and "80.0 times likelier" in grown
    assert "2.0 times less likely" in shrunk
    assert "%" not in inside.changed(record(None), 0, 80).plain
    assert "before training" in inside.changed(record(None, 0), 0, 80).plain


@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_the_pane_opens_at_a_token_of_the_log(tmp_path: Path, size: tuple[int, int]) -> None:
    story = list(logs.story(6))
    own = msgspec.structs.replace(record(), time=story[-1].time)
    run = logs.write(tmp_path / "run", [*story, own, logs.end(6, story[-1].time + 1, "stopped")])

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        await pilot.press("t", "right", "i")
        await until(pilot, lambda: "What did it look at?" in text(app))
        assert "token 2 of 28" in text(app) and "all blocks, mean" in text(app)
        await pilot.press("s")
        await until(pilot, lambda: "block 2, head 1: the sharpest" in text(app))
        await pilot.press("down")
        await until(pilot, lambda: "block 1, mean of its heads" in text(app))
        await pilot.press("right")  # not in the record, nor is its model there
        await until(
            pilot, lambda: "token 3 of 28" in text(app) and "there is no model" in text(app)
        )
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is run_screen(app))
        assert run_screen(app).browser.token == 2

    play(run, script, size=size, config=tmp_path)


def test_large_models_are_compared_one_at_a_time() -> None:
    """The sampling process with a limit below every model: neither is kept beside the other."""
    drawn, context = (5, 6, 7), tuple(range(20, 40))
    values = {"verb": "sample", "model": "pocket", "iteration": 3, "context": context}
    code = "import shakegpt.cli.sample_server as s; s.MOST_COMPARED = 0; s.main([])"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for more in ({"drawn": drawn, "before": "pocket"}, {"drawn": drawn}, {"drawn": (10**6,)}):
            request = msgspec.convert({**values, **more}, SampleRequest)
            process.stdin.write(msgspec.json.encode(request) + b"\n")
        process.stdin.flush()
        records = [msgspec.json.decode(process.stdout.readline(), type=Event) for _ in range(5)]
        process.stdin.close()
    found, done, again, _, refused = records
    assert isinstance(found, Inspection) and found.iteration == 3
    assert [id for id, _ in found.drawn] == [*drawn]
    now = [guesses[-1].probability for guesses in found.guesses]
    assert found.initial == pytest.approx(now, abs=1e-4)  # the same model before and after
    assert isinstance(done, Command) and done.status == "done"
    assert (
        isinstance(again, Inspection) and again.initial is None and again.guesses == found.guesses
    )
    assert isinstance(refused, Command) and refused.status == "refused"
