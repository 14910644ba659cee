"""A real trainer under the run screen: a tiny one, started, killed, resumed, driven in tmux."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from shakegpt.runlog.history import load
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.processes import trainer as trainers
from shakegpt_tui.processes.trainer import Trainer
from tests.tui.screens import play, run_screen, text, until
from tests.tui.terminals import environment

FLAGS = """--init-from scratch --n-layer 2 --n-head 2 --n-embd 32 --block-size 32 --batch-size 4
--gradient-accumulation-steps 2 --eval-interval 3 --max-new-tokens 8 --device cpu --threads 1
--learning-rate 1e-2""".split()  # noqa: SIM905


@pytest.fixture
def play_text(tmp_path: Path) -> Path:
    """A text that is long enough to be split."""
    file = tmp_path / "play.txt"
    file.write_text("ROMEO:\nWhat light through yonder window breaks?\n\n" * 400)
    return file


@pytest.fixture
def started(tmp_path: Path, play_text: Path) -> Iterator[Trainer]:
    flags = [*FLAGS, "--dataset", str(play_text), "--max-iters", "100000"]
    trainer = trainers.start([*flags, "--out-dir", str(tmp_path / "run")])
    yield trainer
    trainer.kill()


def test_a_trainer_killed_under_the_screen_is_resumed_by_a_key(
    tmp_path: Path, started: Trainer
) -> None:
    async def script(pilot: Pilot[str], app: ShakegptApp) -> None:
        assert os.getsid(started.pid) == started.pid  # a session of its own
        await until(pilot, lambda: "saved" in text(app) and "STARTING" not in text(app), 90)
        os.kill(started.pid, signal.SIGKILL)
        await until(pilot, lambda: "CRASHED" in text(app) and "killed by SIGKILL" in text(app))
        await pilot.press("r")
        await until(pilot, lambda: "STARTING" in text(app))
        screen = run_screen(app)
        await until(pilot, lambda: len(screen.history.resumes) == 1, 90)
        await until(pilot, lambda: screen.facts().moving and not screen.launching, 90)
        await pilot.press("x")
        await until(pilot, lambda: "STOPPED" in text(app), 60)
        resumed = screen.trainer
        await until(pilot, lambda: resumed is not None and resumed.exit_code is not None, 30)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    play(started.run, script, config=tmp_path, trainer=started)
    history, _ = load(started.run)
    assert history.end is not None and history.end.status == "stopped"


def test_a_refusal_of_the_trainer_is_shown_and_printed(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.txt")
    trainer = trainers.start(["--dataset", gone, "--out-dir", str(tmp_path / "run")])

    async def script(pilot: Pilot[str], app: ShakegptApp) -> None:
        await until(pilot, lambda: "did not start (exit code 2)" in text(app), 60)
        await until(pilot, lambda: "gone.txt" in text(app))
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    app = play(trainer.run, script, config=tmp_path, trainer=trainer)
    assert app.return_code == 2 and "gone.txt" in str(app.return_value)
    assert not trainer.run.exists()  # no entry in the list for what was never a run


def test_a_trainer_outlives_a_killed_screen(tmp_path: Path, play_text: Path) -> None:
    from tests.tui.terminals import Terminal

    flags = [*FLAGS, "--dataset", str(play_text), "--max-iters", "100000", "--out-dir", "run"]
    with Terminal(flags, tmp_path) as terminal:
        terminal.until("TRAINING", 90)
        terminal.process.kill()
        terminal.process.wait()
    before = load(tmp_path / "run")[0]
    assert before.run is not None
    try:
        wait_for(lambda: load(tmp_path / "run")[0].iteration > before.iteration + 3)
    finally:
        os.kill(before.run.pid, signal.SIGKILL)


def wait_for(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come"
        time.sleep(0.2)


class Tmux:
    """A server of its own; `screen` is what a person would see."""

    def __init__(self, home: Path, name: str) -> None:
        self._base = ["tmux", "-S", str(home / name), "-f", "/dev/null"]
        self._env = environment(home)
        self._home = home

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._base, *words], env=self._env, cwd=self._home,
                              capture_output=True, text=True, timeout=20)  # fmt: skip
        return done.stdout

    def open(self, arguments: list[str]) -> None:
        command = shlex.join([sys.executable, "-m", "shakegpt_tui.main", *arguments])
        self.run("new-session", "-d", "-x", "120", "-y", "40",
                 f"{command}; echo EXIT=$?; sleep 600")  # fmt: skip

    @property
    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def see(self, wanted: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while wanted not in self.screen:
            assert time.monotonic() < end, f"{wanted!r} did not come:\n{self.screen}"
            time.sleep(0.2)

    def close(self) -> None:
        self.run("kill-server")


@pytest.mark.skipif(
    shutil.which("tmux") is None and "CI" not in os.environ, reason="tmux is not installed"
)
def test_start_watch_pause_sample_detach_attach_stop(tmp_path: Path, play_text: Path) -> None:
    tmux, second = Tmux(tmp_path, "first"), Tmux(tmp_path, "second")
    flags = [*FLAGS, "--dataset", str(play_text), "--max-iters", "100000", "--out-dir", "run"]
    try:
        tmux.open(flags)
        tmux.see("TRAINING", 90)
        tmux.see("● val loss")
        tmux.run("send-keys", "Space")
        tmux.see("✓ pause")
        tmux.see("PAUSED")
        tmux.run("send-keys", "e")
        tmux.see("Prompt of your samples")
        tmux.run("send-keys", "-l", " O [east]")
        tmux.run("send-keys", "C-s")
        tmux.see("✓ sample")
        tmux.see("requested")
        tmux.see("ROMEO: O [east]")
        tmux.run("send-keys", "q")
        tmux.see("leave it running")
        tmux.run("send-keys", "l")
        tmux.see("training goes on")
        tmux.see("EXIT=0")
        second.open(["run"])
        second.see("PAUSED")
        second.see("ROMEO: O [east]")
        second.run("send-keys", "Space")
        second.see("✓ resume")
        second.run("send-keys", "x")
        second.see("STOPPED")
        second.run("send-keys", "q")
        second.see("stopped at iteration")
        second.see("EXIT=0")
    finally:
        tmux.close()
        second.close()
        _end(tmp_path / "run")


def _end(run: Path) -> None:
    history, _ = load(run)
    if history.run is not None and history.end is None:
        os.kill(history.run.pid, signal.SIGKILL)
