"""What was asked of the trainer and what it had to say: commands, messages, last words."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from shakegpt.runlog.history import History
from shakegpt.runlog.log import Problem
from shakegpt.sanitize import one_line
from shakegpt_tui.driver import Line, Status
from shakegpt_tui.facts import Facts
from shakegpt_tui.widgets.following import Following

COLOURS: dict[Status, str] = {
    "asked": "$quiet",
    "unanswered": "bold $warning",
    "accepted": "$secondary",
    "done": "$success",
    "refused": "bold $error",
}
MOST_MESSAGES = 200
"""Of each kind; a log full of damage must not fill the memory of a screen."""


class Latest(Following):
    """A list that shows its end in whatever room it has."""

    def on_resize(self) -> None:
        """Less room must not hide what came last."""
        self.call_after_refresh(self.scroll_end, animate=False, immediate=True)


class Activity(Vertical):
    """Two lists that follow their ends."""

    def compose(self) -> ComposeResult:
        """Commands above messages."""
        yield Latest(id="commands")
        yield Latest(id="messages")

    def on_mount(self) -> None:
        """Name the lists."""
        for scroll in self.query(Following):
            scroll.border_title = scroll.id

    def show(self, commands: Sequence[Line], messages: Sequence[Content]) -> None:
        """Show both lists, oldest first."""
        lines = [command(line) for line in commands]
        nothing = Content.styled("none yet", "$quiet")
        self.query_one("#commands", Following).say(_joined(lines) or nothing)
        self.query_one("#messages", Following).say(_joined(messages) or nothing)


def _joined(lines: Sequence[Content]) -> Content:
    return Content("\n").join(lines)


def command(line: Line) -> Content:
    """One command with the mark of its status."""
    return Content.styled(f"{line.mark} {line.text}", COLOURS[line.status])


def messages(
    history: History, problems: Sequence[Problem], facts: Facts, last_words: Sequence[str]
) -> list[Content]:
    """Damage in the log, warnings, the end, and what a crashed trainer wrote last."""
    said = [
        Content.styled(f"log line {problem.line}: {one_line(problem.message, 200)}", "$warning")
        for problem in problems[-MOST_MESSAGES:]
    ]
    said += [
        Content.assemble((f"{w.iteration:>4}  ", "$quiet"), (one_line(w.message, 400), "$warning"))
        for w in history.warnings[-MOST_MESSAGES:]
    ]
    said += [
        Content.styled(f"{r.iteration:>4}  resumed on {one_line(r.host, 40)}", "$quiet")
        for r in history.resumes[-MOST_MESSAGES:]
    ]
    if history.end is not None and not facts.moving:
        colour = "bold $error" if history.end.status == "failed" else "$success"
        text = f"{history.end.status}: {one_line(history.end.reason, 400)}"
        said.append(Content.styled(text, colour))
    if facts.state in ("crashed", "failed"):
        said += [Content.styled(one_line(words, 400), "$error") for words in last_words]
    return said


def ticker(commands: Sequence[Line], said: Sequence[Content]) -> Content:
    """The one line of all this that small terminals show: an open command, else the last word."""
    if commands and commands[-1].status in ("asked", "accepted", "unanswered"):
        return command(commands[-1])
    if said:
        return said[-1]
    return command(commands[-1]) if commands else Content("")
