"""What training did to a token: the pane's curve and passages, by a real replay of a real run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shakegpt.format import probability
from shakegpt.runlog.control import Likelihood, Passage, SampleRequest
from shakegpt.runlog.history import load_started
from shakegpt.runlog.schema import Command, Inspection
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.processes.sampler import Answer, Sampler
from shakegpt_tui.run import taught
from shakegpt_tui.run.feed import LiveFeed
from shakegpt_tui.run.replay_feed import ReplayFeed
from shakegpt_tui.screens.inside import Inside
from shakegpt_tui.widgets.quiet import Quiet
from shakegpt_tui.widgets.token_curve import TokenCurve
from tests.commands import Commands
from tests.tui.screens import LARGE, SMALL, USUAL, Driver, live, play, run_screen, text, until


def likelihoods(*shares: float, of: int = 4) -> list[Likelihood]:
    return [
        Likelihood(iteration=k, iterations=of, probability=p, request="r")
        for k, p in enumerate(shares)
    ]


def passage(effect: float, words: str = "But, soft! what light", windows: int = 3) -> Passage:
    at = words.index(" light") if " light" in words else None
    return Passage(
        start=7,
        length=32,
        effect=effect,
        speaker="ROMEO",
        offset=at,
        excerpt=words,
        text=words,
        update=2,
        windows=windows,
        request="r",
    )


def test_what_the_pane_says_of_a_trace() -> None:
    (series,) = taught.curve(likelihoods(0.1, 0.3), None)
    assert list(series.xs) == [0, 1] and list(series.ys) == pytest.approx([10, 30])
    assert "1 of 4" in taught.course(likelihoods(0.1, 0.3), True).plain
    whole = likelihoods(0.1, 0.12, 0.4, 0.35, 0.36)
    assert "Update 2" in taught.course(whole, False).plain
    assert "12% to 40%" in taught.course(whole, False).plain
    some = [passage(0.001), passage(-0.02, "no such word")]
    for width in (44, 94):
        lines = taught.taught(some, " light", True, width).plain.splitlines()
        assert all(len(line) <= width for line in lines[: 2 if width > 70 else 4])
        assert lines[0].startswith("-2 points") and "2 of 3 windows" in "\n".join(lines)
    marked = taught.excerpt(passage(0.1), " light", 12)
    assert 6 < len(marked.plain) <= 12 and " light" in marked.plain
    assert any("bold" in str(span.style) for span in marked.spans)
    every = taught.taught([*some, passage(0.1)], " light", False, 94).plain
    assert "of the 3" in every and every.splitlines()[0].startswith("+10 points")


@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_where_a_run_cannot_be_trained_again_the_pane_says_why(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    run = live(tmp_path)

    def opened(feed: Any, word: str, *, read_only: bool = False) -> None:
        async def script(pilot: Driver, app: ShakegptApp) -> None:
            app.read_only = read_only
            await until(pilot, lambda: bool(run_screen(app).history.samples))
            await pilot.press("t", "i", "w")
            await until(pilot, lambda: word in shown(app, "#changed"))
            assert run_screen(app).sampler is None and run_screen(app).tracing is None

        play(feed, script, size=size, config=tmp_path)

    opened(LiveFeed(run), "Once the run has ended")
    opened(LiveFeed(run), "read-only", read_only=True)
    if size == LARGE:
        opened(ReplayFeed(run, speed=256.0), "replay")


def shown(app: ShakegptApp, part: str) -> str:
    return app.screen.query_one(part, Quiet).said if isinstance(app.screen, Inside) else ""


def test_the_pane_says_what_the_command_says(
    tiny_run: Path, shakegpt: Commands, tmp_path: Path
) -> None:
    view = load_started(tiny_run).samples[-1]
    words = [token.text.strip() for token in view.tokens]
    place = next(n for n, word in enumerate(words[:-1]) if word.isalnum() and word not in words[:n])
    flags = ["--tokens", str(len(words)), "--why", words[place], "--json"]
    done = shakegpt("inspect", str(tiny_run), *flags, cwd=tmp_path)
    said = json.loads(done.out)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        screen = run_screen(app)
        await pilot.press("t", *["right"] * place, "i")
        await until(pilot, lambda: "What did training change?" in shown(app, "#changed"))
        await pilot.press("w")
        assert screen.tracing is not None
        await pilot.press("escape")  # stops it, and leaves the pane open
        assert screen.tracing is None and isinstance(app.screen, Inside)
        await pilot.press("w", "right")  # another token does not stop it
        await until(pilot, lambda: "instead" in shown(app, "#changed"))
        await pilot.press("left")
        trace = screen.trace_of(screen.history.samples[-1], place)
        await until(pilot, lambda: trace.complete and not trace.request, 90)
        curve = [[one.iteration, one.probability] for one in trace.likelihoods]
        assert curve == said["probabilities"]
        best = sorted(trace.passages, key=lambda each: -abs(each.effect))
        assert [p.effect for p in best] == [w["effect"] for w in said["windows"]]
        for number, size in enumerate((LARGE, USUAL, SMALL)):
            await pilot.resize_terminal(*size)
            await pilot.press("w")  # goes to the part
            await until(pilot, lambda: "What did training change?" in text(app))
            before, after = curve[said["update"] - 1][1], curve[said["update"]][1]
            change = f"from {probability(before)} to {probability(after)}"
            assert change in " ".join(shown(app, "#changed").split()), number
            frame = app.screen.query_one(TokenCurve)
            assert frame.display and frame.size.height >= 4 and frame.size.width > 30
            lines = shown(app, "#taught").splitlines()
            effects = [line.split()[0] for line in lines if " points" in line]
            assert effects == [f"{100 * w['effect']:+.2g}" for w in said["windows"]]
            await pilot.press(*["pagedown"] * 3)
            await until(pilot, lambda: "add up" in text(app))
            assert all(len(line) <= size[0] for line in text(app).splitlines())
        await pilot.press("escape")
        assert app.screen is screen
        await pilot.press("i", "right", "w", "i")  # closing stops it
        assert screen.tracing is None and app.screen is screen

    play(tiny_run, script, size=LARGE, config=tmp_path)


@pytest.fixture
def sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sampler]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = Sampler(idle=60)
    yield process
    process.close()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("shakegpt-")]


def test_a_replay_is_stopped_continues_and_lets_others_pass(
    tiny_run: Path, sampler: Sampler
) -> None:
    model = str(tiny_run / "model")
    values = {"verb": "sample", "model": model, "context": (5, 6), "drawn": (7, 8)}

    def request(**more: Any) -> SampleRequest:
        return msgspec.convert({**values, **more}, SampleRequest)

    stopped, traced = request(replay=str(tiny_run)), request(replay=str(tiny_run), skip=1)
    looked, refused = request(before=model), request(replay=str(tiny_run), drawn=(10**6,))
    for each in (stopped, SampleRequest(verb="stop"), traced, looked, refused):
        sampler.send(each)
    records, answers = list[Answer](), list[str]()
    for record in chain.from_iterable(sampler.answers()):
        records.append(record)
        if isinstance(record, Command):
            answers.append(record.id)
        if len(answers) == 4:
            break
    assert answers == [stopped.id, looked.id, traced.id, refused.id]
    ends = {one.id: one for one in records if isinstance(one, Command)}
    assert ends[stopped.id].message == "stopped" and ends[refused.id].status == "refused"
    curve = [one for one in records if isinstance(one, Likelihood) and one.request == traced.id]
    assert [one.iteration for one in curve] == list(range(7)) and curve[0].iterations == 6
    windows = [one for one in records if isinstance(one, Passage)]
    assert len(windows) == windows[0].windows == 8
    (inside,) = (one for one in records if isinstance(one, Inspection))
    final = inside.guesses[1][-1].probability  # the last evaluation is the best: the same weights
    assert curve[-1].probability == pytest.approx(final, abs=2e-4)
    assert inside.initial is not None and inside.initial[1] == pytest.approx(final, abs=2e-4)


def test_passages_of_a_stopped_replay_are_not_announced() -> None:
    assert taught.taught([], "sir", True, 60).plain != taught.taught([], "sir", False, 60).plain
    assert "w goes on" in taught.taught([], "sir", False, 60).plain
