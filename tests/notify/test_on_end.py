"""What happens when a run ends: the command of --on-end, and the terminal's notification."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from shakegpt.errors import ShakegptError
from shakegpt.notify import watchdog
from shakegpt.notify.command import execute, split
from shakegpt.notify.result import Result, result
from shakegpt.notify.terminal import notification, notify
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.status import RunState
from tests.commands import ROOT, Commands, finish, wait_for
from tests.tiny import as_flags, tiny_config

REPORT = """
import json, os, sys
result = {k: v for k, v in os.environ.items() if k.startswith("SHAKEGPT_")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps({**result, "stdin": sys.stdin.read()}) + "\\n")
sys.exit(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
"""


@pytest.fixture
def reporter(tmp_path: Path) -> list[str]:
    """The words of a command that appends its environment and input to reports.jsonl."""
    script = tmp_path / "a report.py"
    script.write_text(REPORT)
    return [sys.executable, str(script), str(tmp_path / "reports.jsonl")]


def reports(folder: Path) -> list[dict[str, str]]:
    path = folder / "reports.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def quoted(words: list[str]) -> str:
    return " ".join(f"'{word}'" for word in words)


def test_a_finished_run_runs_the_command_once_with_its_result(
    shakegpt: Commands, tmp_path: Path, text_file: Path, reporter: list[str]
) -> None:
    flags = as_flags(tiny_config(text_file, Path("run")))
    command = quoted([*reporter, "3"])  # its failure must not become the run's
    done = shakegpt("finetune", *flags, "--on-end", command, cwd=tmp_path)
    assert done.code == 0 and "exit code 3" in done.err and len(done.err.splitlines()) == 1
    assert "\x1b" not in done.out and "\a" not in done.out
    (report,) = reports(tmp_path)
    losses = [float(report[f"SHAKEGPT_{k}VAL_LOSS"]) for k in ("FIRST_", "BEST_", "")]
    assert losses[0] > losses[1] and losses[1] <= losses[2]
    assert report["SHAKEGPT_RUN"] == str(tmp_path / "run")
    assert report["SHAKEGPT_STATE"] == "finished" and report["SHAKEGPT_EXIT_CODE"] == "0"
    assert report["SHAKEGPT_ITERATION"] == report["SHAKEGPT_MAX_ITERS"] == "6"
    assert report["stdin"] == report["SHAKEGPT_MESSAGE"] + "\n"


@pytest.mark.parametrize(
    ("number", "state", "code"),
    [(signal.SIGTERM, "stopped", "143"), (signal.SIGKILL, "crashed", "")],
)
def test_a_stop_and_a_crash_are_reported(
    shakegpt: Commands,
    tmp_path: Path,
    text_file: Path,
    reporter: list[str],
    number: int,
    state: str,
    code: str,
) -> None:
    config = tiny_config(text_file, Path("run"), max_iters=5000, eval_interval=5000)
    words = ("finetune", *as_flags(config), "--on-end", quoted(reporter))
    process = shakegpt.start(*words, cwd=tmp_path)
    wait_for(tmp_path / "run" / LOG_NAME, '"iteration":3,"micro_step":2')
    process.send_signal(number)
    finish(process)
    limit = time.monotonic() + 30
    while not reports(tmp_path) and time.monotonic() < limit:
        time.sleep(0.05)
    (report,) = reports(tmp_path)
    assert report["SHAKEGPT_STATE"] == state and report["SHAKEGPT_EXIT_CODE"] == code
    assert int(report["SHAKEGPT_ITERATION"]) >= 2


def test_a_stall_is_reported_once_until_the_run_goes_on(
    tiny_run: Path, tmp_path: Path, reporter: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / LOG_NAME
    log.write_bytes((tiny_run / LOG_NAME).read_bytes())
    monkeypatch.setattr(watchdog, "POLL_SECONDS", 0.02)
    read, write = os.pipe()
    watching = threading.Thread(target=watchdog.watch, args=(tmp_path, reporter, read, 0.4))
    watching.start()
    for count in (1, 2):
        limit = time.monotonic() + 20
        while len(reports(tmp_path)) < count and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.2)
        assert [r["SHAKEGPT_STATE"] for r in reports(tmp_path)] == ["stalled"] * count
        os.utime(log)  # the trainer writes again
    os.write(write, b"done")
    watching.join()
    assert len(reports(tmp_path)) == 2


def test_a_clock_that_is_set_is_no_stall(
    tiny_run: Path, tmp_path: Path, reporter: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a machine that slept: the log's last record is then old at once."""
    log = tmp_path / LOG_NAME
    log.write_bytes((tiny_run / LOG_NAME).read_bytes())
    os.utime(log, (time.time() - 3600, time.time() - 3600))
    monkeypatch.setattr(watchdog, "POLL_SECONDS", 0.02)
    read, write = os.pipe()
    watching = threading.Thread(target=watchdog.watch, args=(tmp_path, reporter, read, 30.0))
    watching.start()
    time.sleep(0.3)
    os.write(write, b"done")
    watching.join()
    assert not reports(tmp_path)


def test_a_trainer_whose_log_has_no_end_failed(tiny_run: Path, tmp_path: Path) -> None:
    """The disk was full; only a trainer without an exit code is gone."""
    lines = (tiny_run / LOG_NAME).read_text().splitlines(keepends=True)
    (tmp_path / LOG_NAME).write_text("".join(x for x in lines if '"event":"end"' not in x))
    failed = result(tmp_path, exit_code=1, reason="no space left")
    assert failed.state == RunState.FAILED and "no space left" in failed.message
    crashed = result(tmp_path)
    assert crashed.state == RunState.CRASHED and f"--resume {tmp_path}" in crashed.message


def test_every_locale_has_a_result(tmp_path: Path) -> None:
    """One that lacks the characters of the reason gets others for them."""
    code = (
        "from pathlib import Path; from shakegpt.notify.command import execute\n"
        "from shakegpt.notify.result import Result\n"
        "from shakegpt.runlog.status import RunState\n"
        "r = Result(Path(), RunState.FAILED, 1, '\\u201c\\u6625\\u2026', 3, 20, 4.5, 4.2, 4.4)\n"
        "print(execute(['sh', '-c', 'cat > in; echo $SHAKEGPT_REASON > reason'], r))"
    )
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = os.environ | ascii_only | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "None\n", done.stderr
    assert "3 of 20" in (tmp_path / "in").read_text() and (tmp_path / "reason").read_text()


def test_a_hanging_command_is_ended_with_its_children(tiny_run: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    script = f"(sleep 1.5; touch {tmp_path}/late) & sleep 30"
    problem = execute(["sh", "-c", script], result(tiny_run), 0.3)
    assert problem is not None and "\n" not in problem and time.monotonic() - began < 5
    time.sleep(1.6)
    assert not (tmp_path / "late").exists()


def test_a_hanging_command_ends_with_the_trainer(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    flags = as_flags(tiny_config(text_file, Path("run"), max_iters=1))
    script = "echo $$ > part; mv part began; exec sleep 60"
    process = shakegpt.start("finetune", *flags, "--on-end", f"sh -c '{script}'", cwd=tmp_path)
    wait_for(tmp_path / "began", "\n")
    command = psutil.Process(int((tmp_path / "began").read_text()))
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == -signal.SIGTERM
    assert not command.is_running() or command.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("command", ["", "no-such-program-here --x", "echo 'open", "  "])
def test_a_command_that_cannot_run_is_refused_before_anything_begins(
    shakegpt: Commands, tmp_path: Path, text_file: Path, command: str
) -> None:
    flags = as_flags(tiny_config(text_file, Path("run")))
    done = shakegpt("finetune", *flags, "--on-end", command, cwd=tmp_path)
    assert "--on-end" in done.sentence and not (tmp_path / "run").exists()


def test_a_script_that_cannot_run_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "tell me.sh"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(ShakegptError, match=r"chmod \+x"):
        split("'./tell me.sh'")
    script.chmod(0o755)
    assert split("'./tell me.sh' a\\ b") == ["./tell me.sh", "a b"]
    script.write_text("echo done\n")
    with pytest.raises(ShakegptError, match="#!"):
        split("'./tell me.sh'")


def test_a_failure_is_said_in_one_sentence_without_control_characters(tmp_path: Path) -> None:
    failed = Result(
        tmp_path / "run", RunState.FAILED, 1, "the loss\n is \x1b[31mnan", 3, 20, 4.5, 4.2, 4.4
    )
    assert failed.message.isprintable() and "3 of 20" in failed.message
    assert "4.5" in failed.message and "nan" in failed.message


@pytest.mark.parametrize(
    ("environment", "begins"),
    [
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\x1b]9;"),
        ({"TERM": "xterm-kitty"}, "\x1b]9;"),
        ({"TERM": "foot"}, "\x1b]777;notify;shakegpt;"),
        ({"TERM": "xterm-256color"}, "\a"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm"}, "\a"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, "\a"),
        ({"TERM": "dumb"}, ""),
        ({}, ""),
    ],
)
def test_what_a_terminal_gets(environment: dict[str, str], begins: str) -> None:
    text = notification("a; b\x1b\\\a\nc", environment)
    assert text.startswith(begins) and (begins == "") == (text == "")
    assert text.count("\a") == (1 if text else 0) and text.endswith("\a" if text else "")
    body = text.removeprefix(begins).removesuffix("\a").removesuffix("\x1b\\")
    assert "\x1b" not in body and ";" not in body and "\n" not in body


def test_only_a_terminal_is_notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    with (tmp_path / "out").open("w") as file:
        notify("done", file)
    assert (tmp_path / "out").read_text() == ""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        notify("done", terminal)
        assert os.read(ours, 100) == b"\x1b]9;done\x1b\\\a"
    os.close(ours)
