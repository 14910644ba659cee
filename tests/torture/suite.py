"""Lists that the test suite holds already: its tests are run, and counted as cases."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.commands import ROOT
from tests.torture.tally import Tally

SIGNALS = ("tests/train/test_signals.py", "tests/tui/test_watch_terminal.py")
"""Trainer, console and screen: INT, TERM, HUP, closed pipes and terminals, twice, saving."""
NUMBERS = (
    *("tests/data/test_dataset.py", "tests/test_finetune.py", "tests/test_generate.py"),
    *("-k", "number or window or text or short or batch or length or loss or gradient or epoch"),
)
"""Losses, gradients, weights and scores that are no numbers; lengths at every edge."""
DECK = ("tests/deck/test_live.py", "-k", "text_whatever")
"""A sample with markup on the deck, in a browser."""


def suite(tally: Tally, words: tuple[str, ...]) -> None:
    """Run these tests; a failed one is a loss."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n0", f"--junit-xml={report}", *words],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": ""},
            capture_output=True,
            text=True,
        )
        if not report.exists():
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        for case in ET.parse(report).iter("testcase"):
            skipped = case.find("skipped") is not None
            tally.tried += not skipped
            bad = case.find("failure") if case.find("failure") is not None else case.find("error")
            if bad is not None:
                tally.losses.append(f"{case.get('name')}: {bad.get('message', '')[:300]}")
