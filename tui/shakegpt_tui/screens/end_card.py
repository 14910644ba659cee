"""What a run that has ended came to, and what can be done with it next."""

from __future__ import annotations

from textual.content import Content

from shakegpt import format
from shakegpt.runlog.metrics import longest_copy
from shakegpt.runlog.status import RunState
from shakegpt_tui.run.facts import Facts
from shakegpt_tui.run.narrator import choices
from shakegpt_tui.screens.run_sampling import Sampling

RESUMING = {
    "learning": "trains on: val loss still falls",
    "level": "trains on, though val loss levelled off",
}
"""By the rule of the last judgement."""


def end_card(screen: Sampling, now: Facts) -> Content:
    """Empty while the run may go on, or where nothing was measured."""
    if now.state not in (RunState.FINISHED, RunState.STOPPED) or now.val_loss is None:
        return Content("")
    at = "" if now.best_iteration in (None, now.iteration) else f" at {now.best_iteration}"
    rows = [
        ("val loss", f"{format.loss(now.first_val, 2)} → {format.loss(now.best_val, 2)}{at}"),
        ("choices", f"{choices(now.first_val)} → {choices(now.best_val)} tokens"),
        ("time", f"{format.duration(now.took)}, {format.counted(now.iteration, 'iteration')}"),
    ]
    if (longest := longest_copy(screen.history)) is not None:
        rows.append(("copied", f"{longest} words in a row at most" if longest else "no 4 words"))
    lines = [Content.assemble((f"{label:<9}", "$quiet"), (value, "bold")) for label, value in rows]
    lines += [
        Content.assemble((f"{key:>7}  ", "bold $primary"), text) for key, text in _next(screen)
    ]
    return Content("\n").join(lines)


def _next(screen: Sampling) -> list[tuple[str, str]]:
    """Keys, and what they do now."""
    ways = []
    if screen.live and screen.can_draw("best"):
        ways.append(("s", "lets it write"))
    if screen.live and screen.can_draw("before"):
        ways.append(("0", "the same, before training"))
    if screen.check_action("resume", ()):
        advice = screen.history.advice
        best = screen.history.best_eval
        if advice is not None and advice.rule in ("memorizing", "rising", "gap") and best:
            text = f"trains on; its best was at {best.iteration}"
        elif advice is not None and advice.rule == "diverging":
            text = "trains on; a third of the lr is better"
        else:
            text = RESUMING.get(advice.rule if advice else "", "trains on")
        ways.append(("r", text))
    return [*ways, ("g", "the loss curves, large")]
