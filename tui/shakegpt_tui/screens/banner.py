"""The line under the status for what needs attention, with the way out."""

from __future__ import annotations

import signal

from textual.content import Content

from shakegpt import format
from shakegpt.runlog.status import RunState, is_local
from shakegpt.sanitize import one_line
from shakegpt_tui.processes.trainer import last_words
from shakegpt_tui.run.facts import Facts
from shakegpt_tui.screens.run_driving import Driving

TROUBLE, WARNING, QUIET = "bold reverse $error", "bold reverse $warning", "$quiet"


def banner(screen: Driving, now: Facts) -> Content:
    """The line; empty when nothing needs attention."""
    if screen.refused is not None:
        return Content.styled(f" {one_line(str(screen.refused))} ", TROUBLE)
    if not screen.caught_up:
        return Content.styled(f"opening {one_line(str(screen.run))} …", QUIET)
    if (replay := screen.replay) is not None:
        held = " · held" if replay.paused else " · ended" if replay.ended else ""
        text = f" REPLAY at {replay.speed:g}× speed{held}{' · loops' if replay.loop else ''} "
        return Content.styled(text, "bold reverse $accent")
    if screen.leaving:
        return Content.styled(" stopping and saving, then leaving; q leaves at once ", WARNING)
    if screen.sampling_error:
        return Content.styled(f" {one_line(screen.sampling_error, 300)} ", TROUBLE)
    if screen.tracing is not None:
        return Content.styled("training the run again for one token …  x stops", QUIET)
    if screen.waiting and screen.drawing is None:
        return Content.styled("loading the model …  x stops", QUIET)
    line = _state(screen, now)
    if screen.shakegpt.read_only and not line.plain:
        return Content.styled("read-only: this page only shows the run", QUIET)
    return line


def _state(screen: Driving, now: Facts) -> Content:
    way = _way_on(screen, now)
    match now.state:
        case RunState.CRASHED if screen.history.run is None:
            return Content.styled(f" {_why_not(screen)} ", TROUBLE)
        case RunState.CRASHED:
            return Content.styled(f" crashed{_how(screen, now)}{way} ", TROUBLE)
        case RunState.FAILED:
            reason = one_line(screen.history.end.reason, 200) if screen.history.end else ""
            return Content.styled(f" failed: {reason}{way} ", TROUBLE)
        case RunState.STALLED:
            return Content.styled(f" {_quiet(now)}; the process is still running ", WARNING)
        case RunState.STOPPED if way:
            return Content.styled(f"stopped{way}{_talk(screen)}", QUIET)
        case RunState.FINISHED if _talk(screen):
            return Content.styled(f"finished{_talk(screen)} · r trains on", QUIET)
        case RunState.STARTING if not screen.history.evals:
            return Content.styled("the trainer loads the model and the text …", QUIET)
    return Content("")


def _quiet(now: Facts) -> str:
    return f"no log output for {format.duration(now.quiet)}"


def _why_not(screen: Driving) -> str:
    """Why a trainer never began, by its own last words."""
    code = screen.trainer.exit_code if screen.trainer else None
    exit_code = "" if code is None else f" (exit code {code})"
    words = last_words(screen.run, 1)
    reason = one_line(words[0], 200) if words else "it wrote nothing"
    return f"the trainer did not start{exit_code}: {reason} · esc: back to the form"


def _how(screen: Driving, now: Facts) -> str:
    code = screen.trainer.exit_code if screen.trainer is not None else None
    if code is None:
        return f": {'its process is gone' if is_local(screen.history) else _quiet(now)}"
    if code < 0:
        return f": killed by {signal.Signals(-code).name}"
    return f" with exit code {code}"


def _way_on(screen: Driving, now: Facts) -> str:
    if not screen.live:
        return ""
    if now.saved_iteration is None:
        return ", before anything was saved"
    return f" · r resumes from iteration {now.saved_iteration}"


def _talk(screen: Driving) -> str:
    """How to sample from the model of a run that has ended."""
    if not screen.live or not screen.can_draw("best"):
        return ""
    before = screen.can_draw("before") and not screen.has_class("-slim")
    return f" · s samples{', 0 as before training' if before else ''}"


def last_words_of(screen: Driving, now: Facts) -> list[str]:
    """The trainer's last words, when they are of interest and not in the banner."""
    if screen.history.run is None:
        return last_words(screen.run)[:-1]
    return last_words(screen.run) if now.state in (RunState.CRASHED, RunState.FAILED) else []
