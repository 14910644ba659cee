"""Where a run runs: notebooks, batch systems, containers, users without a home, odd directories."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shakegpt.runlog.history import load
from shakegpt.runlog.log import LOG_NAME
from shakegpt.train import state
from shakegpt_tui.processes import trainer
from shakegpt_tui.terminal.capabilities import missing
from tests.commands import ROOT, Commands, finish, start, wait_for
from tests.tiny import as_flags, tiny_config
from tests.train.test_signals import begin, saved_iteration

QUICK = ("--max-iters", "1", "--max-new-tokens", "0", "--eval-tokens", "64", "--batch-size", "1")


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({"JPY_PARENT_PID": "7"}, True),
        ({"TERM": "xterm-color", "CLICOLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat"}, True),
        ({"CI": "true"}, True),
        ({"GITHUB_ACTIONS": "true"}, True),
        ({"CI": "false"}, False),
        ({"PAGER": "cat"}, False),
    ],
)
def test_a_pseudo_terminal_without_a_person_gets_lines(
    environment: dict[str, str], lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CI", "GITHUB_ACTIONS", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{name}", type("Tty", (), {"isatty": lambda _: True})())
    assert (missing() is not None) == lines and missing(forced=True) is None


def test_a_notebook_cell_ends_and_has_no_escapes(
    shakegpt: Commands, text_file: Path, tmp_path: Path
) -> None:
    master, slave = pty.openpty()
    words = ["finetune", "--dataset", str(text_file), *QUICK, "--out-dir", "run"]
    process = shakegpt.start(
        *words,
        cwd=tmp_path,
        terminal=os.ttyname(slave),
        JPY_PARENT_PID="7",
        TERM="xterm-color",
    )
    said = b""
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        if select.select([master], [], [], 0.05)[0]:
            said += os.read(master, 4096)
    os.close(slave)
    os.close(master)
    assert process.returncode == 0, said
    assert b"\x1b" not in said and b"finished" in said


@pytest.mark.parametrize(
    ("number", "words", "leaves"),
    [
        (signal.SIGUSR1, {}, False),
        (signal.SIGUSR2, {"save_signal": "SIGUSR1"}, False),
        (signal.SIGUSR1, {"save_signal": "SIGUSR1"}, True),
        (signal.SIGXCPU, {}, True),
    ],
)
def test_signals_of_batch_systems(
    number: int,
    words: dict[str, Any],
    leaves: bool,
    shakegpt: Commands,
    text_file: Path,
    tmp_path: Path,
) -> None:
    process, run = begin(shakegpt, text_file, tmp_path, **words), tmp_path / "run"
    process.send_signal(number)
    if not leaves:
        wait_for(run / LOG_NAME, '"verb":"save","status":"done"')
        at = load(run)[0].iteration
        assert state.newest_intact(run / "state")[0] is not None
        wait_for(run / LOG_NAME, f'"iteration":{at + 3},"micro_step":1')
        process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 128 + (number if leaves else signal.SIGTERM) and not err
    assert saved_iteration(run) == load(run)[0].iteration


@pytest.mark.parametrize("stop", [True, False])
def test_a_screen_that_must_end_has_its_trainer_save(
    stop: bool, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory with a module that has the name of a standard one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random.py").write_text("raise SystemExit('not the one that was meant')\n")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tui'}")
    run = tmp_path / "run"
    config = tiny_config(text_file, run, max_iters=5000, eval_interval=5000, max_new_tokens=0)
    started = trainer.start([word for word in as_flags(config) if word != "--no-tui"])
    try:
        wait_for(run / LOG_NAME, '"iteration":3,"micro_step":2')
        trainer.save_all([started], stop=stop, hurry=True)
        assert (started.exit_code == 143) == stop
        assert saved_iteration(run) >= 3
    finally:
        started.kill()
        while started.exit_code is None:
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"WORLD_SIZE": ""}, "WORLD_SIZE=''"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two'"),
        ({"WORLD_SIZE": "2"}, "no RANK and no MASTER_ADDR"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "::1", "MASTER_PORT": "1"}, "RANK=2"),
    ],
)
def test_variables_of_a_launcher_that_is_gone(
    environment: dict[str, str], sentence: str, shakegpt: Commands, tmp_path: Path
) -> None:
    done = shakegpt("finetune", *QUICK, cwd=tmp_path, stdin=b"", **environment)
    assert sentence in done.sentence and "env -u WORLD_SIZE" in done.sentence
    assert not list(tmp_path.iterdir())


def test_signals_while_pytorch_is_imported_end_nothing(text_file: Path, tmp_path: Path) -> None:
    code = """if True:
        import os, signal, sys
        def announce(event, arguments):
            if event == "import" and arguments[0] == "torch" and not sent:
                for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
                    sent.append(os.kill(os.getpid(), number))
        sent = []
        sys.addaudithook(announce)
        from shakegpt.cli.main import main
        code = main(sys.argv[1:])
        assert len(sent) == 3
        sys.exit(code)"""
    words = as_flags(tiny_config(text_file, tmp_path / "run", max_iters=1))
    done = subprocess.run(
        [sys.executable, "-c", code, "finetune", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = (
        "import os, sys; os.rmdir('../gone'); from shakegpt.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "finetune", "--no-tui"],
        cwd=tmp_path / "gone", env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done


def test_a_user_without_a_home(text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\ndef nobody(*_): raise KeyError('no entry')\npwd.getpwuid = nobody\n"
    )
    paths = f"{tmp_path}:{ROOT}:{ROOT / 'tui'}:{ROOT / 'figures'}"
    config = tiny_config(text_file, Path("run"), max_iters=1, init_from="pocket", block_size=16)
    process = start(
        *("finetune", *as_flags(config)), cwd=tmp_path, PYTHONPATH=paths, HOME="", SHAKEGPT_CACHE=""
    )
    code, _, err = finish(process)
    assert code == 0 and not err, err
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "sitecustomize.py", "__pycache__"}
