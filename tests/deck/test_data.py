"""run.json: its numbers are the log's, its shape is held, and a poor log gets a sentence."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt_figures import data, words
from shakegpt_figures.rundata import Number, RunData
from tests.deck import made
from tests.deck.browse import value
from tests.figures import logs


def near(value: float, text: str) -> Any:
    """Equal to a Number with this text and about this value."""
    return Number(cast(float, pytest.approx(value, rel=1e-4)), text)


def test_the_numbers_are_the_logs(tmp_path: Path) -> None:
    large = made.large(tmp_path / "run")
    told = data.run_data(large.history, large.log)
    assert told.model.n_params == Number(774_030_080, "774M")
    assert (told.curves.first.text, told.curves.best.text) == ("3.66", "2.86")
    assert told.curves.drop == near(21.858, "22%")
    assert told.curves.first_perplexity == near(math.exp(3.66), "39")
    assert told.settings.tokens_per_iteration.text == "32,768"
    assert told.run.wall.text == "31 minutes"
    assert told.sample.invented == "MARGOLIUS"
    assert told.sample.known == "ROMEO"
    assert told.alt.training == words.training_alt(large.history)


def test_lines_of_code_are_counted(tmp_path: Path) -> None:
    pocket = made.pocket(tmp_path / "run")
    told = data.run_data(pocket.history, pocket.log)
    for name, number in (("model", told.code.model), ("finetune", told.code.finetune)):
        source = Path("shakegpt", f"{name}.py")
        assert number.value == len(source.read_text("utf-8").splitlines()) > 100


def test_the_log_is_named_by_its_sum(tmp_path: Path) -> None:
    pocket = made.pocket(tmp_path / "run")
    told = data.run_data(pocket.history, pocket.log)
    checked = subprocess.run(
        ["sha256sum", pocket.log], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert (told.run.log_sha256, told.run.log_short) == (checked, checked[:8])


def test_the_file_reads_back_and_is_the_same_twice(tmp_path: Path) -> None:
    hostile = made.hostile(tmp_path / "run")
    path = tmp_path / "run.json"
    hostile.write_numbers(path)
    first = path.read_bytes()
    assert data.read(path) == data.run_data(hostile.history, hostile.log)
    hostile.write_numbers(path)
    assert path.read_bytes() == first


def test_the_shape_is_what_the_deck_was_written_for(tmp_path: Path) -> None:
    """Adding a key is fine; a deck that asks for a key that went must be changed with it."""
    told = data.run_data(*_parts(made.pocket(tmp_path / "run")))
    deck = Path("slides/slides.md").read_text("utf-8")
    asked = set(re.findall(r'\sk="([\w.]+)"', deck)) | set(re.findall(r"(?m)^alt: (\S+)", deck))
    assert len(asked) > 25
    built = json.loads(data.encoded(told))
    for key in asked:
        assert value(built, key) is not None or key in ("curves.improved", "settings.constant"), key
    assert f"SCHEMA = {told.schema} " in Path("slides/check.mjs").read_text("utf-8")


def _parts(run: made.Made) -> tuple[Any, Path]:
    return run.history, run.log


def test_a_running_run_says_how_far_it_is(tmp_path: Path) -> None:
    told = data.run_data(*_parts(made.running(tmp_path / "run")))
    assert told.run.status == "unfinished at iteration 10 of 20"
    assert told.curves.best_iteration.value == 10


def test_a_run_that_learned_nothing_is_not_praised(tmp_path: Path) -> None:
    told = data.run_data(*_parts(made.worse(tmp_path / "run")))
    assert not told.curves.improved
    assert told.curves.drop == Number(0.0, "0%")
    assert told.curves.largest_rise == near(0.2, "0.20")


def test_a_number_that_was_not_measured_is_null(tmp_path: Path) -> None:
    told = data.run_data(*_parts(made.begun(tmp_path / "run")))
    assert told.curves.noise is None
    assert told.curves.largest_rise is None
    assert told.curves.train == ()


def test_invented_speakers_need_a_text_with_speakers(tmp_path: Path) -> None:
    run, *rest = made.records()
    assert isinstance(run, ev.Run)
    prose = msgspec.structs.replace(
        run, dataset=msgspec.structs.replace(run.dataset, name="prose.txt", speakers=())
    )
    told = data.run_data(*_parts(made.make(tmp_path / "run", [prose, *rest])))
    assert told.sample.invented == ""
    assert told.dataset.title == "prose.txt"


Change = Callable[[list[ev.Event]], list[ev.Event]]


def _without(*kinds: type[ev.Event]) -> Change:
    return lambda events: [e for e in events if not isinstance(e, kinds)]


def _config(**changed: object) -> Change:
    def change(events: list[ev.Event]) -> list[ev.Event]:
        run, *rest = events
        assert isinstance(run, ev.Run)
        return [msgspec.structs.replace(run, config={**run.config, **changed}), *rest]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without(ev.Run), "no `run` record"),
        (_without(ev.Eval), "no evaluation with a finite val loss"),
        (_without(ev.Sample), "no sample"),
        (_without(ev.Token), "no sample"),
        (_config(batch_size="many"), "batch_size ('many')"),
        (_config(learning_rate=None), "learning_rate (None)"),
        (lambda events: [], "no `run` record"),
    ],
)
def test_a_log_that_lacks_something_gets_a_sentence(
    tmp_path: Path, change: Change, said: str
) -> None:
    poor = made.make(tmp_path / "run", change(made.records()))
    with pytest.raises(ShakegptError, match=re.escape(said)):
        data.run_data(poor.history, poor.log)


def test_a_foreign_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 2}')
    with pytest.raises(ShakegptError, match=str(tmp_path / "run.json")):
        data.read(tmp_path / "run.json")


def test_neither_torch_nor_matplotlib_is_loaded() -> None:
    code = (
        "import sys; from shakegpt_figures import data\n"
        "print([m for m in ('torch', 'matplotlib', 'transformers') if m in sys.modules])"
    )
    rooms = {"PYTHONPATH": os.pathsep.join([".", "tui", "figures"])}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=rooms
    )
    assert told.stdout.strip() == "[]"


LOSS = st.none() | st.floats(0.01, 50)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    losses=st.lists(st.lists(LOSS, min_size=1, max_size=4), max_size=30),
    vals=st.dictionaries(st.integers(0, 30), LOSS, max_size=8),
    text=st.text(max_size=120),
    prompt=st.text(max_size=20),
)
def test_any_log_gives_data_or_a_sentence(
    tmp_path: Path,
    losses: list[list[float | None]],
    vals: dict[int, float | None],
    text: str,
    prompt: str,
) -> None:
    events = [logs.header(), *logs.curve(losses, vals), *logs.sample([text], prompt=prompt)]
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"whatever")
    try:
        told = data.run_data(logs.history(events), log)
    except ShakegptError as error:
        assert all(v is None for k, v in vals.items() if k <= len(losses)), error
        return
    again = msgspec.json.decode(msgspec.json.encode(told), type=RunData)
    assert again == told
    assert len(told.curves.train) <= data.POINTS
    assert told.curves.best.value <= told.curves.first.value
