"""The bell and the desktop notification of a terminal that is known to have one.

OSC 9 is iTerm2's sequence, which WezTerm, Ghostty and kitty understand as well; OSC 777 is
rxvt-unicode's, used by foot. Others would show its text, or nothing, and get the bell only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from shakegpt.sanitize import sentence

BELL = "\a"
OSC_9 = ("iTerm.app", "WezTerm", "ghostty")
"""Values of TERM_PROGRAM."""
OSC_777 = ("foot", "foot-extra")
"""Values of TERM."""


def notification(message: str, environment: Mapping[str, str] = os.environ) -> str:
    """The sequence that shows `message`, then the bell; "" for what is no terminal's TERM.

    Inside tmux and screen, which keep the sequence for themselves, the bell only.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if term in ("", "dumb"):
        return ""
    inside = "TMUX" in environment or "STY" in environment or term.startswith(("screen", "tmux"))
    text = sentence(message, 200).replace(";", ",")
    if inside:
        return BELL
    if program in OSC_9 or term == "xterm-kitty" or term == "xterm-ghostty":
        return f"\x1b]9;{text}\x1b\\{BELL}"
    if term in OSC_777:
        return f"\x1b]777;notify;shakegpt;{text}\x1b\\{BELL}"
    return BELL


def notify(message: str, out: TextIO) -> None:
    """Write it to `out` if that is a terminal at which somebody may sit."""
    if out.isatty():
        out.write(notification(message))
        out.flush()
