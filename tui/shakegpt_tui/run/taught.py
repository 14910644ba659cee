"""What the training of a run did to one token, as a curve and texts for the pane "inside".

No widgets. Each text's last line is what the answer does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from textual.content import Content

from shakegpt.format import probability as percent
from shakegpt.runlog.control import Likelihood, Passage
from shakegpt.runlog.schema import Inspection
from shakegpt.sanitize import one_line
from shakegpt_tui.plot.series import Series

MOST_PASSAGES = 10
ONE_LINE_FROM = 64
"""Columns from which a passage has a line: effect, speaker and words."""
EFFECT_WIDTH, SPEAKER_WIDTH = 15, 16


def curve(likelihoods: Sequence[Likelihood], found: tuple[Inspection, int] | None) -> list[Series]:
    """A token's probability in per cent over iterations; until that is computed, what its
    inspection says, as points without a line: before training and now.
    """
    if likelihoods:
        shares = [100 * one.probability for one in likelihoods]
        return [Series("chance", "train", [one.iteration for one in likelihoods], shares)]
    if found is None:
        return []
    record, position = found
    now = record.guesses[position][-1].probability
    points = [(record.iteration, now)]
    if record.initial is not None and record.iteration:
        points.insert(0, (0, record.initial[position]))
    return [Series("chance", "train", [k], [100 * p]) for k, p in points]


def course(likelihoods: Sequence[Likelihood], running: bool) -> Content:
    """How the probability went from iteration to iteration, and how far that is computed."""
    if not likelihoods:
        return Content.styled("starting to train the run again …  esc stops", "$quiet")
    last = likelihoods[-1]
    if last.iteration < last.iterations:
        word = "esc stops" if running else "stopped; w goes on"
        done = f"{last.iteration} of {last.iterations}"
        return Content.styled(f"In % after each iteration, {done}  {word}", "$quiet")
    most = largest(likelihoods)
    if most is None:
        return Content.styled("There was no update.", "$quiet")
    before, after = most
    return Content.styled(
        f"In % after each iteration. Update {after.iteration} changed it most, from "
        f"{percent(before.probability)} to {percent(after.probability)}.",
        "bold",
    )


def largest(likelihoods: Sequence[Likelihood]) -> tuple[Likelihood, Likelihood] | None:
    """The two neighbours that are furthest apart: before and after an update."""
    steps = pairwise(likelihoods)
    return max(steps, key=lambda two: abs(two[1].probability - two[0].probability), default=None)


def taught(passages: Sequence[Passage], token: str, running: bool, width: int) -> Content:
    """The windows that moved the token most, of those computed so far."""
    if not passages:
        text = "computed after the last iteration …" if running else "not computed; w goes on"
        return Content.styled(text, "$quiet")
    done, total = len(passages), passages[0].windows
    most = sorted(passages, key=lambda each: -abs(each.effect))[:MOST_PASSAGES]
    lines = [_line(each, token, width) for each in most]
    if done < total:
        word = "esc stops" if running else "stopped; w goes on"
        lines.append(Content.styled(f"{done} of {total} windows of the update  {word}", "$quiet"))
    else:
        lines.append(
            Content.styled(
                f"Each line: what one of the {total} windows of text did in update "
                f"{passages[0].update}.",
                "$quiet",
            )
        )
    lines.append(
        Content.styled(
            "It is exact for this update alone: effects do not add up, and later ones build on it.",
            "italic $quiet",
        )
    )
    return Content("\n").join(lines)


def _line(passage: Passage, token: str, width: int) -> Content:
    """Effect in percentage points, who speaks, and words around the token."""
    effect = f"{100 * passage.effect:+.2g} points"
    style = "bold $primary" if passage.effect > 0 else "bold $secondary"
    speaker = one_line(passage.speaker or "", SPEAKER_WIDTH - 2)
    if width >= ONE_LINE_FROM:
        words = excerpt(passage, token, width - EFFECT_WIDTH - SPEAKER_WIDTH)
        return Content.assemble(
            (f"{effect:<{EFFECT_WIDTH}}", style), f"{speaker:<{SPEAKER_WIDTH}}", words
        )
    words = excerpt(passage, token, width - 2)
    return Content.assemble((f"{effect:<{EFFECT_WIDTH}}", style), f"{speaker}\n  ", words)


def excerpt(passage: Passage, token: str, width: int) -> Content:
    """At most `width` columns of the window: from around the token, or its beginning."""
    text, at = passage.text, passage.offset
    if at is None or not text.startswith(token, at):
        return Content.styled(one_line(text, width), "$quiet")
    word = one_line(token, width)
    before = one_line(text[:at])
    before = before[max(0, len(before) - (width - len(word)) // 2) :]
    after = one_line(text[at + len(token) :], max(0, width - len(before) - len(word)))
    return Content.assemble((before, "$quiet"), (word, "bold"), (after, "$quiet"))
