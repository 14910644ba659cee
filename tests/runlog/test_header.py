"""The first record of a run: where it trains, and from which commit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from shakegpt.train.header import _run_git


def test_the_checkout_is_only_looked_at(tmp_path: Path) -> None:
    """`git status` renews its index under a lock, which outlives whoever is killed meanwhile."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("as it is committed")
    for words in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    os.utime(tmp_path / "file", (1, 1))  # its entry in the index is out of date now
    index = (tmp_path / ".git" / "index").read_bytes()
    assert _run_git(tmp_path, "status", "--porcelain") == ""
    assert (tmp_path / ".git" / "index").read_bytes() == index
