"""The app on a real terminal: start, signals, restoring, exit codes, resizing, a slow line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shakegpt.runlog.log import LOG_NAME
from tests.tui import logs
from tests.tui.terminals import ENTER, Terminal, environment


@pytest.fixture
def run(tmp_path: Path) -> Path:
    length = list(logs.story(7))[-1].time - logs.T0
    return logs.write(tmp_path / "run", logs.story(7, start=time.time() - length))


def test_it_starts_leaves_and_restores(run: Path) -> None:
    with Terminal([str(run)], run.parent) as terminal:
        terminal.until("yonder")
        assert ENTER in terminal.seen
        terminal.press("q")
        terminal.until("leave it running")
        terminal.press("l")
        assert terminal.wait() == 0
        assert terminal.is_restored()
        assert f"training goes on; to come back: shakegpt-tui {run}" in terminal.plain


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_restores_and_tells(run: Path, number: signal.Signals) -> None:
    with Terminal([str(run)], run.parent) as terminal:
        terminal.until("yonder")
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.is_restored()


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(run: Path) -> None:
    with Terminal([str(run)], run.parent) as terminal:
        terminal.until("yonder")
        terminal.press("\x1a")
        end, status = time.monotonic() + 40, 0
        while not os.WIFSTOPPED(status):
            assert time.monotonic() < end, "it does not stop"
            terminal.read(0.1)
            status = os.waitpid(terminal.process.pid, os.WUNTRACED | os.WNOHANG)[1]
        terminal.read(0.1)
        assert terminal.is_restored()
        terminal.forget()
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until("yonder", 15)
        for _ in range(2):  # the second one comes while the first is obeyed
            terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.is_restored()


def test_halted_and_let_go_on_it_is_as_before(run: Path) -> None:
    """By SIGSTOP, as batch systems do: nothing in the program hears of it."""
    with Terminal([str(run)], run.parent) as terminal:
        terminal.until("yonder")
        threads = psutil.Process(terminal.process.pid).num_threads()
        for _ in range(3):
            terminal.process.send_signal(signal.SIGSTOP)
            os.waitpid(terminal.process.pid, os.WUNTRACED)
            while terminal.read(0.1):
                pass
            terminal.forget()
            terminal.process.send_signal(signal.SIGCONT)
            terminal.until("yonder", 15)  # the log is silent: nothing else would paint it
        assert psutil.Process(terminal.process.pid).num_threads() == threads
        terminal.press("q")
        terminal.until("leave it running")
        terminal.press("l")
        assert terminal.wait() == 0
        assert terminal.is_restored()


def test_a_line_that_drops_ends_it(run: Path) -> None:
    with Terminal([str(run)], run.parent) as terminal:
        terminal.until("yonder")
        terminal.hang_up()
        assert terminal.wait() == 128 + signal.SIGHUP


def test_a_bug_in_the_ui_restores_and_exits_with_1(run: Path) -> None:
    (run.parent / "sitecustomize.py").write_text(
        "from shakegpt_tui.screens import run_reading\n"
        "run_reading.Reading.action_compare = lambda self: 1 / 0\n"
    )
    paths = os.pathsep.join([str(run.parent), environment(run.parent)["PYTHONPATH"]])
    with Terminal([str(run)], run.parent, PYTHONPATH=paths) as terminal:
        terminal.until("yonder")
        terminal.press("b")
        assert terminal.wait() == 1
        assert terminal.is_restored()
        assert "ZeroDivisionError" in terminal.plain


def test_resizing_redraws(run: Path) -> None:
    with Terminal([str(run)], run.parent, rows=40, columns=120) as terminal:
        terminal.until("what happens")
        for rows, columns, sign in (
            (10, 30, "too small"),
            (15, 50, "yonder"),
            (40, 120, "what happens"),
        ):
            terminal.forget()
            terminal.resize(rows, columns)
            terminal.until(sign)
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait()


def test_a_slow_line_is_served_without_falling_behind(run: Path) -> None:
    """9600 baud is about a kilobyte a second: text streams on and keys are still heard."""
    with Terminal([str(run)], run.parent, SSH_CONNECTION="a 1 b 2") as terminal:
        terminal.until("yonder")
        terminal.forget()
        began, records = time.monotonic(), list(logs.sample(2, 7, time.time(), prompt="NURSE:"))
        logs.write(run, records[:-1])
        while time.monotonic() - began < 3:
            terminal.read(0.05, most=60)
            time.sleep(0.05)
        terminal.press("q")
        pressed = time.monotonic()
        while "leave it running" not in terminal.plain:
            assert time.monotonic() - pressed < 15
            terminal.read(0.05, most=60)
            time.sleep(0.05)
        assert "wherefore" in terminal.plain
        terminal.press("l")
        assert terminal.wait() == 0


def test_no_color_means_none(run: Path) -> None:
    with Terminal([str(run)], run.parent, NO_COLOR="1") as terminal:
        terminal.until("yonder")
        terminal.press("c")
        terminal.until("≥60%")
        styles = re.findall(rb"\x1b\[([0-9;:]*)m", terminal.seen)
        assert styles and not [style for style in styles if _has_colour(style)]
        terminal.process.send_signal(signal.SIGTERM)
        terminal.wait()


def _has_colour(group: bytes) -> bool:
    codes = [int(code or 0) for code in group.replace(b":", b";").split(b";")]
    return any(30 <= c <= 38 or 40 <= c <= 48 or 90 <= c <= 107 for c in codes)


def _plain(arguments: list[str], home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shakegpt_tui.main", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=home,
        env=environment(home, **env),
    )


def test_without_a_terminal_a_run_is_told_once(run: Path) -> None:
    done = _plain([str(run)], run.parent)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1 and "stdin is not a terminal" in done.stderr
    assert "iteration 7/20" in done.stdout and "val loss 4.9" in done.stdout


def test_a_dumb_terminal_gets_no_escapes(run: Path) -> None:
    with Terminal([str(run)], run.parent, TERM="dumb") as terminal:
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.seen and "TERM is 'dumb'" in terminal.plain


def test_without_a_terminal_training_goes_headless(tmp_path: Path) -> None:
    done = _plain(["talk", "--dataset", "gone.txt"], tmp_path)
    assert done.returncode == 2
    assert "stdin is not a terminal: running headless" in done.stderr
    assert "gone.txt" in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["replay RUN", "picture RUN", "serve [RUN]"])
def test_each_command_has_help(tmp_path: Path, command: str) -> None:
    for flag in ("--help", "-h"):
        done = _plain([command.split()[0], flag], tmp_path)
        assert done.returncode == 0 and not done.stderr
        assert done.stdout.startswith(f"usage: shakegpt-tui {command} [flags]")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no/such/run"], "no/such/run is no preset"),
        (["tlak"], "did you mean 'talk'?"),
        (["replay"], "needs a RUN"),
        (["replay", "x", "--speed", "fast"], "--speed must be a number > 0"),
        (["picture", "x", "--colour"], "unknown flag '--colour'"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = _plain(arguments, tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_wrong_flags_leave_no_screen_and_no_run(tmp_path: Path) -> None:
    with Terminal(["talk", "--max-iter", "3"], tmp_path) as terminal:
        assert terminal.wait() == 2
        assert ENTER not in terminal.seen and "did you mean '--max-iters'?" in terminal.plain
    assert not (tmp_path / "runs").exists()


def test_help_is_fast_and_light(tmp_path: Path) -> None:
    program = (
        "import sys; from shakegpt_tui.main import main; code = main(['--help']); "
        "heavy = {'textual', 'torch', 'rich', 'matplotlib'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=environment(tmp_path))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "shakegpt-tui replay RUN" in done.stdout


def test_the_screens_never_import_torch(tmp_path: Path) -> None:
    program = (
        "import sys, shakegpt_tui.app, shakegpt_tui.screens.prompt, shakegpt_tui.commands.picture; "
        "heavy = {'torch', 'transformers', 'matplotlib', 'numpy'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=environment(tmp_path))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_log_that_vanishes_is_survived(run: Path) -> None:
    with Terminal([str(run)], run.parent) as terminal:
        terminal.until("yonder")
        (run / LOG_NAME).unlink()
        terminal.forget()
        logs.write(run, logs.story(2))
        terminal.until("2/20")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 143
