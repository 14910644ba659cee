"""Signals, kills, closed pipes and terminals, full disks: what a real process makes of them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME
from shakegpt.runlog.schema import Step
from shakegpt.train import state
from tests.commands import ROOT, Commands, Forked, finish, start, wait_for
from tests.tiny import as_flags, tiny_config

LONG = 2000
"""Iterations that no test waits for."""


def begin(
    shakegpt: Commands, text: Path, folder: Path, ignore: int = 0, **changes: object
) -> Forked:
    """A trainer at work in `folder`/run, past its third update."""
    settings: dict[str, object] = {"max_iters": LONG, "eval_interval": 1000, "max_new_tokens": 0}
    config = tiny_config(text, Path("run"), **settings | changes)
    process = shakegpt.start("finetune", *as_flags(config), cwd=folder, ignore=ignore)
    wait_for(folder / "run" / LOG_NAME, '"iteration":3,"micro_step":2')
    return process


def saved_iteration(run: Path) -> int:
    found, complaints = state.newest_intact(run / "state")
    assert found is not None and not complaints
    manifest = json.loads((found / "manifest.json").read_text())
    return int(manifest["position"]["iteration"])


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGINT, 130, "stopped by Ctrl-C"), (signal.SIGTERM, 143, "stopped by SIGTERM")],
)
def test_a_signal_saves_the_last_finished_iteration_and_leaves(
    shakegpt: Commands, tmp_path: Path, text_file: Path, number: int, code: int, reason: str
) -> None:
    process = begin(shakegpt, text_file, tmp_path)
    began = time.monotonic()
    process.send_signal(number)
    left, out, err = finish(process)
    assert time.monotonic() - began < 5
    assert left == code and not err, err
    run = tmp_path / "run"
    history, problems = load(run)
    assert not problems and history.end is not None
    assert (history.end.status, history.end.reason) == ("stopped", reason)
    assert saved_iteration(run) == history.end.iteration == history.iteration >= 3
    assert f"--resume {run.name}" in out and reason in out


@pytest.mark.parametrize(
    ("number", "codes"), [(signal.SIGINT, (130, -2)), (signal.SIGTERM, (-15,))]
)
def test_a_signal_while_loading_leaves_nothing_behind(
    tmp_path: Path, number: int, codes: tuple[int, ...]
) -> None:
    """It waits for a text that never comes; 130 and -2 are the same to a shell."""
    os.mkfifo(tmp_path / "text")
    process = start("finetune", "--no-tui", "--dataset", "text", cwd=tmp_path)
    end = None
    while end is None and process.poll() is None:
        with suppress(OSError):  # until somebody reads
            end = os.open(tmp_path / "text", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    process.send_signal(number)
    code, out, err = finish(process, 20)
    assert end is not None
    os.close(end)
    assert code in codes and not out and err in ("", "shakegpt: stopped by Ctrl-C\n")
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_a_second_ctrl_c_leaves_at_once(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    process = begin(shakegpt, text_file, tmp_path)
    process.send_signal(signal.SIGSTOP)  # so that both arrive before the first is answered
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, _, err = finish(process)
    assert code == 130 and "Traceback" not in err and time.monotonic() - began < 2


def test_a_second_ctrl_c_does_not_wait_for_a_save(tmp_path: Path, text_file: Path) -> None:
    """A disk that takes its time: the first Ctrl-C waits for it, the second does not."""
    code = (
        "import sys, time; import shakegpt.finetune\n"
        "from shakegpt.cli import main as cli; from shakegpt.train import state\n"
        "def slow(*a): open('saving', 'w').close(); time.sleep(60)\n"
        "state.save = slow; sys.exit(cli.main(sys.argv[1:]))"
    )
    config = tiny_config(text_file, Path("run"), max_iters=LONG, eval_interval=1000)
    process = subprocess.Popen(
        [sys.executable, "-c", code, "finetune", *as_flags(config)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}:{ROOT / 'figures'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(tmp_path / "run" / LOG_NAME, '"iteration":3,"micro_step":2')
    process.send_signal(signal.SIGINT)
    limit = time.monotonic() + 20
    while not (tmp_path / "saving").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert finish(process)[0] == 130 and time.monotonic() - began < 2


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_hang_up_and_an_ignored_ctrl_c_stop_nothing(
    number: int, shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    """A shell's `command &` starts it with SIGINT ignored: Ctrl-C is meant for what is in front."""
    process = begin(shakegpt, text_file, tmp_path, ignore=signal.SIGINT)
    process.send_signal(number)
    before = load(tmp_path / "run")[0].iteration
    wait_for(tmp_path / "run" / LOG_NAME, '"event":"step","time":', 5)
    limit = time.monotonic() + 20
    while load(tmp_path / "run")[0].iteration < before + 20:
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143


def test_a_kill_loses_nothing_that_was_saved(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    process = begin(shakegpt, text_file, tmp_path, eval_interval=4, max_iters=40)
    wait_for(tmp_path / "run" / LOG_NAME, '"event":"eval","time"')
    wait_for(tmp_path / "run" / LOG_NAME, '"kind":"last"')
    os.killpg(process.pid, signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL
    saved = saved_iteration(tmp_path / "run")
    assert saved >= 4 and load(tmp_path / "run")[0].end is None
    resumed = shakegpt.start("finetune", "--resume", "run", "--no-tui", cwd=tmp_path)
    code, out, err = finish(resumed)
    assert code == 0 and f"resumed at iteration {saved}" in out, err
    history, problems = load(tmp_path / "run")
    assert not problems and sorted(history.steps) == list(range(1, 41))


def test_a_second_trainer_is_refused(shakegpt: Commands, tmp_path: Path, text_file: Path) -> None:
    process = begin(shakegpt, text_file, tmp_path)
    refused = shakegpt("finetune", "--resume", "run", "--no-tui", cwd=tmp_path)
    assert "is being trained by another process" in refused.sentence and not refused.out
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143
    assert not load(tmp_path / "run")[0].resumes


def test_a_closed_output_stops_nothing(tmp_path: Path, text_file: Path) -> None:
    config = tiny_config(text_file, Path("run"), max_iters=12)
    process = start("finetune", *as_flags(config), cwd=tmp_path)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()  # what `| head -1` does
    assert process.wait(60) == 0, process.stderr.read()
    assert not process.stderr.read()
    process.stderr.close()
    end = load(tmp_path / "run")[0].end
    assert end is not None and end.status == "finished" and end.iteration == 12


def test_a_closed_terminal_stops_nothing(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    """A lost SSH connection: hang-up, and a terminal that takes no more output."""
    config = tiny_config(text_file, Path("run"), max_iters=150, eval_interval=50)
    ours, theirs = pty.openpty()
    process = shakegpt.start(
        *("finetune", *as_flags(config)),
        cwd=tmp_path,
        terminal=os.ttyname(theirs),
        TERM="xterm-256color",
    )
    stop, said = threading.Event(), bytearray()

    def drain() -> None:
        while not stop.is_set():
            try:
                said.extend(os.read(ours, 1 << 16))
            except OSError:
                return

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    wait_for(tmp_path / "run" / LOG_NAME, '"iteration":3,"micro_step":2')
    os.close(theirs)
    stop.set()
    reader.join(5)
    os.close(ours)
    with suppress(ProcessLookupError):  # the kernel has sent one already
        os.killpg(process.pid, signal.SIGHUP)
    assert finish(process)[0] == 0, said.decode("utf-8", "replace")[-3000:]
    end = load(tmp_path / "run")[0].end
    assert end is not None and (end.status, end.iteration) == ("finished", 150)


def test_a_full_disk_gets_a_sentence_and_keeps_the_last_state(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    """A limit on file sizes stands for it: the log, then a state, cannot grow."""
    config = tiny_config(text_file, Path("run"), max_iters=400, eval_interval=400, max_new_tokens=0)
    process = shakegpt.start("finetune", *as_flags(config), cwd=tmp_path, file_size=120_000)
    code, _, err = finish(process)
    assert code == 1 and "Traceback" not in err, err
    assert len(err.strip().splitlines()) == 1 and "cannot write to" in err
    history, problems = load(tmp_path / "run")
    assert not problems and history.iteration >= 1
    resumed = shakegpt("finetune", "--resume", "run", "--max-iters", "3", "--no-tui", cwd=tmp_path)
    assert resumed.code == 0, resumed


def test_a_state_that_cannot_be_written_fails_the_run(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    process = begin(shakegpt, text_file, tmp_path)
    (tmp_path / "run/state").write_text("a file where a directory must be")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 1 and "Traceback" not in err and "cannot write to" in err, err
    end = load(tmp_path / "run")[0].end
    assert end is not None and end.status == "failed"
    assert isinstance(next(iter(load(tmp_path / "run")[0].steps.values())), Step)
