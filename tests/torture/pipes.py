"""Whoever reads what a command says may leave: at once, after a line, or never have been there.

Real processes, in a real shell, because what Python does at its very end counts as well.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from shakegpt.runlog.history import load
from tests.commands import PATHS
from tests.torture.lab import Lab, result, same
from tests.torture.tally import Tally
from tests.torture.tiny import flags

READERS = {
    "nobody": "{} | true",
    "a reader of one line": "{} | head -1",
    "a reader of ten bytes": "{} | head -c 10",
    "a full disk": "{} > /dev/full",
    "a closed stream": "{} >&-",
    "three closed streams": "{} <&- >&- 2>&-",
    "errors to nobody": "{} 2>&1 >/dev/null | true",
}
ALLOWED = {0, 1, 141}
"""Done, could not write, nobody reads."""


def pipes(lab: Lab, tally: Tally, *, short: bool = False) -> None:
    """Each command with each reader; a training goes on to its end whoever reads."""
    run = lab.folder / "unhurt"
    commands = {
        "help": ["--help"],
        "runs": ["runs", str(lab.folder)],
        "claims": ["claims", str(run)],
        "sample": ["sample", str(run), "--max-new-tokens", "3", "--threads", "1"],
        "evaluate": ["evaluate", str(run), "--dataset", str(lab.text), "--threads", "1"],
        "figures": ["figures", str(run), "--out", str(lab.folder / "drawn")],
        "finetune": ["finetune", *flags(lab.text, lab.folder / "piped")],
    }
    chosen = {"help": commands["help"]} if short else commands
    readers = [*READERS][:1] if short else [*READERS]
    for name, words in chosen.items():
        for reader in readers:
            with tally.case(f"{name} with {reader}"):
                _case(lab, name, words, reader)
    if not short:
        with tally.case("the screen without a terminal, with a reader of one line"):
            code, err = shell([*SCREEN, str(run)], READERS["a reader of one line"])
            assert code in ALLOWED and "Traceback" not in err, (code, err)


def _case(lab: Lab, name: str, words: list[str], reader: str) -> None:
    code, err = shell([sys.executable, "-m", "shakegpt", *words], READERS[reader])
    assert "Traceback" not in err and "Exception ignored" not in err, err
    if name != "finetune":
        assert code in ALLOWED and len(err.strip().splitlines()) <= 2, (code, err)
        return
    run = lab.folder / "piped"
    assert code == 0, (code, err)
    assert load(run)[0].end is not None
    same(result(run), lab.unhurt)
    subprocess.run(["rm", "-r", str(run)], check=True)


SCREEN = [sys.executable, "-c", "import sys; from shakegpt_tui.main import main; sys.exit(main())"]


def shell(words: list[str], reader: str) -> tuple[int, str]:
    """Exit code of the command, not of its reader, and what it said of errors."""
    told = reader.format(shlex.join(words))
    done = subprocess.run(
        ["bash", "-c", f"{told}; exit ${{PIPESTATUS[0]}}"],
        env=os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=Path("/"),
        timeout=300,
    )
    return done.returncode, done.stderr
