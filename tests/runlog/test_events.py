"""The schema of the run log, held against every record that runs of every kind write."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from shakegpt.runlog import schema as ev
from shakegpt.runlog.control import Request
from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.schema import Event
from shakegpt.session import resume
from tests.tiny import commanded

KINDS: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Event)
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> list[dict[str, Any]]:
    """A run that was commanded, stopped, damaged and resumed: all that a log can hold."""
    folder = tmp_path_factory.mktemp("every")
    asked = [Request(verb="sample", prompt="é\u202e\x1b", max_new_tokens=2), Request(verb="stop")]
    commanded(text_file, folder, *((4, request) for request in asked), eval_interval=2)
    run = folder / "run"
    newest = max((run / "state").iterdir())
    shutil.rmtree(newest)
    newest.mkdir()
    resume(run)
    assert load(run)[0].end is not None
    return [msgspec.json.decode(line) for line in (run / LOG_NAME).read_bytes().splitlines()]


def test_the_run_writes_every_kind_there_is(lines: list[dict[str, Any]]) -> None:
    assert {line["event"] for line in lines} == set(KINDS)


def test_every_record_holds_the_fields_of_its_kind_and_no_other(
    lines: list[dict[str, Any]],
) -> None:
    for line in lines:
        kind = KINDS[line["event"]]
        assert set(line) == {"event", *kind.__struct_encode_fields__}, line
        strict = msgspec.json.decode(msgspec.json.encode(line), type=kind)
        assert msgspec.json.decode(msgspec.json.encode(strict)) == line


def test_a_value_of_another_type_is_no_record(lines: list[dict[str, Any]]) -> None:
    for line in {line["event"]: line for line in lines}.values():
        wrong = line | {"time": "yesterday"}
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(wrong), type=Event)


def test_time_goes_on_and_iterations_do_but_for_the_resume(lines: list[dict[str, Any]]) -> None:
    others = ("heartbeat", "command")  # written by another thread, which may wait for its turn
    times = [line["time"] for line in lines if line["event"] not in others]
    assert times == sorted(times)
    begun = next(n for n, line in enumerate(lines) if line["event"] == "resume")
    for part in (lines[:begun], lines[begun:]):
        steps = [line["iteration"] for line in part if line["event"] == "step"]
        assert steps == sorted(set(steps))


def test_a_resume_goes_on_where_it_says(lines: list[dict[str, Any]]) -> None:
    begun = next(n for n, line in enumerate(lines) if line["event"] == "resume")
    at = lines[begun]["iteration"]
    following = [line["iteration"] for line in lines[begun:] if line["event"] == "step"]
    assert following == list(range(at + 1, 7))
    assert any(line["event"] == "warning" for line in lines[begun : begun + 3])


def test_the_first_record_tells_the_schema(lines: list[dict[str, Any]]) -> None:
    assert lines[0]["event"] == "run" and lines[0]["schema"] == ev.SCHEMA == 1
