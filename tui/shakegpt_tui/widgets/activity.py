"""Commands sent to the trainer, and what happens: sentences, warnings, its last words."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from shakegpt.runlog.history import History
from shakegpt.runlog.log import Problem
from shakegpt.sanitize import one_line
from shakegpt_tui.run.driving import Line, Status
from shakegpt_tui.run.facts import Facts
from shakegpt_tui.run.narrator import Sentence, outcome
from shakegpt_tui.widgets.following import Following
from shakegpt_tui.widgets.quiet import Quiet

COLOURS: dict[Status, str] = {
    "sent": "$quiet",
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
        yield Quiet(id="card")
        yield Latest(id="commands")
        yield Latest(id="messages")

    def on_mount(self) -> None:
        self.query_one("#card").border_title = "what it learned"
        self.query_one("#commands").border_title = "commands"
        self.query_one("#messages").border_title = "what happens"

    def show(self, card: Content, commands: Sequence[Line], messages: Sequence[Content]) -> None:
        """Show all three, oldest first; what is empty has no place."""
        self.query_one("#card", Quiet).say(card, layout=True)
        lines = Content("\n").join([command(line) for line in commands])
        self.query_one("#commands", Following).say(lines)
        self.query_one("#messages", Following).say(Content("\n").join(messages))
        self.query_one("#card").display = bool(card)
        self.query_one("#commands").display = bool(commands)


def command(line: Line) -> Content:
    """One command with the mark of its status."""
    return Content.styled(f"{line.mark} {line.text}", COLOURS[line.status])


def messages(
    history: History,
    sentences: Sequence[Sentence],
    problems: Sequence[Problem],
    facts: Facts,
    last_words: Sequence[str],
) -> list[Content]:
    """The run's story with its warnings, damage in the log, the end, and what a crashed trainer
    wrote last.
    """
    dated = [(sentence.iteration, sentence.text, "") for sentence in sentences]
    dated += [
        (warning.iteration, one_line(warning.message, 400), "$warning")
        for warning in history.warnings[-MOST_MESSAGES:]
    ]
    dated += [
        (resume.iteration, f"resumed on {one_line(resume.host, 40)}", "$quiet")
        for resume in history.resumes[-MOST_MESSAGES:]
    ]
    said = [
        Content.assemble((f"{iteration}  ", "bold $quiet"), (text, style))
        for iteration, text, style in sorted(dated, key=lambda line: line[0])
    ]
    said += [
        Content.styled(f"log line {problem.line}: {one_line(problem.message, 200)}", "$warning")
        for problem in problems[-MOST_MESSAGES:]
    ]
    if history.end is not None and not facts.moving:
        status, reason = history.end.status, one_line(history.end.reason, 400)
        colour = "bold $error" if status == "failed" else "$success"
        text = reason if reason.startswith(status) else f"{status}: {reason}"
        said.append(Content.styled(text, colour))
        if learned := outcome(history):
            said.append(Content.styled(learned, "bold"))
    if facts.state in ("crashed", "failed"):
        said += [Content.styled(one_line(words, 400), "$error") for words in last_words]
    return said


def ticker(commands: Sequence[Line], said: Sequence[Content]) -> Content:
    """The one line of all this that small terminals show: an open command, else the last word."""
    if commands and commands[-1].status in ("sent", "accepted", "unanswered"):
        return command(commands[-1])
    if said:
        return said[-1]
    return command(commands[-1]) if commands else Content("")
