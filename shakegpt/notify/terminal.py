"""The bell of a terminal, and its desktop notification where it is known to have one.

OSC 9 is iTerm2's sequence, also supported by WezTerm, Ghostty and kitty; OSC 777 is rxvt-unicode's,
also used by foot. Other terminals might print the sequence, and get only the bell.
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
    """The sequence that displays `message`, then the bell; "" for an unknown or dumb TERM.

    In tmux and screen, which do not pass the sequence on, only the bell.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if term in ("", "dumb"):
        return ""
    if "TMUX" in environment or "STY" in environment or term.startswith(("screen", "tmux")):
        return BELL
    text = sentence(message, 200).replace(";", ",")
    if program in OSC_9 or term == "xterm-kitty" or term == "xterm-ghostty":
        return f"\x1b]9;{text}\x1b\\{BELL}"
    if term in OSC_777:
        return f"\x1b]777;notify;shakegpt;{text}\x1b\\{BELL}"
    return BELL


def notify(message: str, out: TextIO) -> None:
    """Write the notification to `out` if that is a terminal."""
    if out.isatty():
        out.write(notification(message))
        out.flush()
