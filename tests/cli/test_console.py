"""What a run says without its screen: plain lines, the live block, the summary."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from shakegpt.cli import console as told
from shakegpt.cli.console_lines import opening, summary
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME, read

HOSTILE = "\x1b[2J\x1b]0;owned\x07 [bold]not bold[/bold] \r\u202egnorw"
PERSIAN = "می\u200cخواهم"
"""Its non-joiner is part of the word."""


@pytest.fixture(scope="module")
def records(tiny_run: Path) -> list[ev.Event]:
    found, problems = read(tiny_run / LOG_NAME)
    assert not problems
    return found


def of(records: list[ev.Event], kind: type[ev.Event]) -> ev.Event:
    return next(e for e in records if isinstance(e, kind))


def plain(records: Sequence[ev.Event], past: History | None = None) -> list[str]:
    shown = told.PlainConsole(past)
    lines: list[str] = []
    for event in records:
        shown.history.add(event)
        lines += shown.lines(event)
    return lines


def went(*losses: float, characters: int | None = None) -> str:
    """What the summary says of a run with these val losses, of iterations 0, 1, 2."""
    history = History()
    for n, loss in enumerate(losses):
        history.add(
            ev.Eval(
                iteration=n,
                val_loss=loss,
                tokens=9,
                seconds=0,
                best=False,
                characters=characters,
            )
        )
    end = ev.End(
        iteration=len(losses) - 1,
        status="stopped",
        reason="enough",
        best_val_loss=None,
        wall_seconds=1.0,
    )
    return "".join(summary(history, end)[1:])


def test_the_summary_says_how_it_went_as_a_person_would() -> None:
    assert went(4.0) == "val loss 4.0000 at iteration 0; no evaluation after it"
    assert (
        went(4.0, 5.0) == "val loss 4.0000 at iteration 0, not lower since: 5.0000 at iteration 1"
    )
    assert went(4.0, 3.0, 3.5) == "val loss 4.0000 -> 3.0000 at iteration 1, 25.0% lower"
    assert went(4.0, 3.0, characters=18).endswith("25.0% lower, 2.16 bits/char")
    assert went(float("nan")) == ""


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Screen:
    """What a live console wrote to a terminal, without the escapes that move its cursor."""

    def __init__(self, shown: told.PlainConsole, file: Terminal) -> None:
        self.shown, self._file = shown, file

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._file.getvalue())


@contextmanager
def screen(monkeypatch: pytest.MonkeyPatch, width: int = 80) -> Iterator[Screen]:
    """A live console in a terminal of that width; leaving it takes the block away."""
    file = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", file)
        for name, value in (("TERM", "xterm-256color"), ("COLUMNS", str(width)), ("LINES", "24")):
            patched.setenv(name, value)
        with told.console() as shown:
            assert isinstance(shown, told.LiveConsole)
            yield Screen(shown, file)


def test_plain_lines_never_rewrite_one(records: list[ev.Event]) -> None:
    lines = plain(records)
    assert sum(line.startswith("iter ") for line in lines) == 6
    assert sum(line.startswith("eval ") for line in lines) == 3
    assert not any(set(line) & set("\r\x1b\n\b") for line in lines)


def test_text_of_a_model_is_shown_and_not_obeyed(records: list[ev.Event]) -> None:
    end = of(records, ev.SampleEnd)
    said = "\n".join(
        plain([of(records, ev.Sample), msgspec.structs.replace(end, text=HOSTILE + PERSIAN)])
    )
    assert "[bold]not bold[/bold]" in said and "gnorw" in said and PERSIAN in said
    assert not set(said) & set("\r\x1b\x07\u202e")


@pytest.mark.parametrize("dumb", ["dumb", ""])
def test_a_terminal_that_cannot_move_the_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, dumb: str
) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", dumb)
    with told.console() as shown:
        assert not isinstance(shown, told.LiveConsole)


@pytest.mark.parametrize("width", [40, 80])
def test_the_block_shows_where_the_run_stands(
    records: list[ev.Event], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    last = next(n for n, e in enumerate(records) if isinstance(e, ev.Step) and e.iteration == 4)
    with screen(monkeypatch, width) as at:
        for event in records[: last + 1]:
            at.shown.write(event)
    block = " ".join(at.text().rsplit("%", 1)[-1].split())
    assert "4/6" in block and "tok/s" in block and "best" in block and "eta" in block
    assert "67%" in at.text() and "iter 1" not in at.text()
    bars = [line for line in re.split("[\r\n]+", at.text()) if "━" in line]
    assert bars and max(len(line) for line in bars) <= width


def test_a_sample_streams_into_the_block(
    records: list[ev.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(n for n, e in enumerate(records) if isinstance(e, ev.Token))
    token = of(records, ev.Token)
    assert isinstance(token, ev.Token)
    with screen(monkeypatch) as at:
        for event in records[:first]:
            at.shown.write(event)
        at.shown.write(msgspec.structs.replace(token, text="wherefore" + HOSTILE))
    assert "wherefore" in at.text() and "[bold]not bold" in at.text()
    assert not set(at.text()) & set("\x1b\x07\u202e"), "all escapes are the console's own"


def test_a_run_that_goes_on_is_compared_with_its_start(records: list[ev.Event]) -> None:
    at = next(n for n, e in enumerate(records) if isinstance(e, ev.Eval) and e.iteration == 6)
    past = History().extend(records[:at])
    (line,) = plain([records[at]], past)
    assert re.search(r"-\d+\.\d% from the start$", line)


def test_a_worse_evaluation_names_the_best_one(records: list[ev.Event]) -> None:
    best = of(records, ev.Eval)
    assert isinstance(best, ev.Eval)
    worse = msgspec.structs.replace(best, iteration=3, val_loss=99.0, best=False)
    lost = msgspec.structs.replace(best, iteration=6, val_loss=None, best=False)
    lines = plain([best, worse, lost])
    assert f"(best {best.val_loss:.4f})" in lines[1] and "+" in lines[1]
    assert "not finite" in lines[2]


def test_the_start_says_how_many_epochs_the_iterations_are(records: list[ev.Event]) -> None:
    run = of(records, ev.Run)
    assert isinstance(run, ev.Run)
    text = msgspec.structs.replace(run.dataset, train_tokens=1000)
    config = run.config | {"max_iters": 50, "batch_size": 5, "block_size": 20}
    config |= {"gradient_accumulation_steps": 2}
    changed = msgspec.structs.replace(run, dataset=text, config=config)
    assert any("10 epochs in 50 iterations" in line for line in opening(changed))


def test_more_memory_than_there_is_gets_a_warning(records: list[ev.Event]) -> None:
    run = of(records, ev.Run)
    assert isinstance(run, ev.Run)
    assert not any("warning" in line for line in opening(run))
    huge = msgspec.structs.replace(run.memory, weights=1 << 60)
    warned = opening(msgspec.structs.replace(run, memory=huge))
    assert any("warning: this machine has" in line and "--batch-size" in line for line in warned)


def test_who_trains_and_how_much_is_told(records: list[ev.Event]) -> None:
    run = of(records, ev.Run)
    assert isinstance(run, ev.Run)
    few = msgspec.structs.replace(run.memory, gradients=4 * 32_768)
    shared = msgspec.structs.replace(
        run, config=run.config | {"lora_rank": 8}, memory=few, world=ev.World(processes=4, job="j")
    )
    more = [line for line in opening(shared) if line not in opening(run)]
    assert more[:2] == [
        "4 processes share each iteration",
        "LoRA of rank 8: 32.8K parameters are trained, the others frozen",
    ]


def test_a_stopped_run_says_how_to_go_on(records: list[ev.Event]) -> None:
    end = records[-1]
    assert isinstance(end, ev.End)
    stopped = msgspec.structs.replace(end, status="stopped", reason="stopped by Ctrl-C")
    where = History().extend(records).run
    assert where is not None
    lines = plain([*records[:-1], stopped])
    assert lines[-1] == f"  shakegpt finetune --resume {where.config['out_dir']}"
    assert any(line.startswith("stopped: stopped by Ctrl-C, after ") for line in lines)


def test_a_run_without_a_better_model_promises_none(records: list[ev.Event]) -> None:
    kept = [e for e in records if not isinstance(e, ev.Checkpoint)]
    assert not any("sample with" in line for line in plain(kept))


def test_what_became_of_a_command_is_told_once() -> None:
    command = ev.Command(id="1", verb="sample", status="accepted", iteration=2)
    refused = msgspec.structs.replace(command, status="refused", message="no\x1b[31m")
    assert plain([command, refused]) == ["command sample: refused no\u241b[31m"]
    assert plain([ev.RunWarning(iteration=1, message="mind\rthe gap")]) == [
        "warning: mind\u240dthe gap"
    ]


def test_an_error_in_showing_a_record_is_reported_and_the_next_ones_are_shown(
    records: list[ev.Event], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("a bug")

    monkeypatch.setattr(told, "eval_line", broken)
    shown, before = told.PlainConsole(), os.fstat(1)
    for event in records:
        shown.write(event)
    said = capsys.readouterr()
    assert sum(line.startswith("iter ") for line in said.out.splitlines()) == 6
    assert said.err.count("a bug") == 1 and os.path.samestat(os.fstat(1), before)


def test_a_terminal_without_some_characters_shows_their_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, encoding="ascii"))
    with told.console() as shown:
        for text in ("naïve", "plain"):
            shown.write(ev.RunWarning(iteration=1, message=text))
    assert out.getvalue().splitlines() == [rb"warning: na\xefve", b"warning: plain"]


def test_who_stops_reading_stops_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    before = os.fstat(1)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        shown = told.PlainConsole()
        for _ in range(3):
            shown.write(ev.RunWarning(iteration=1, message="mind the gap"))
    shown.write(ev.RunWarning(iteration=1, message="stdout itself is closed now"))
    assert os.path.samestat(os.fstat(1), before), "the descriptor of somebody else"
