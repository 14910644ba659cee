"""Driving a run: commands that were asked for here, and what the log says became of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Request, Verb, send, sent
from shakegpt.runlog.history import History
from shakegpt.sanitize import one_line

LATE = 30.0
"""Seconds without a word after which a command is shown as unanswered: one micro-batch of the
largest GPT-2 on two cores takes about half of that."""

Status = Literal["asked", "unanswered", "accepted", "done", "refused"]
MARKS: dict[Status, str] = {
    "asked": "…",
    "unanswered": "?",
    "accepted": "▸",
    "done": "✓",
    "refused": "✗",
}


@dataclass(frozen=True)
class Line:
    """One command as the screen lists it."""

    status: Status
    text: str

    @property
    def mark(self) -> str:
        """One character for the status."""
        return MARKS[self.status]


class Driver:
    """Sends commands to the trainer of `run` and remembers what was asked."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.asked: dict[str, Request] = {}
        self._sent: dict[str, Request | None] = {}

    def ask(self, verb: Verb, **values: Any) -> Request:
        """Send one command; raises ShakegptError when the run directory cannot be written."""
        try:
            request = send(self.run, Request(verb=verb, **values))
        except OSError as error:
            raise ShakegptError(
                f"cannot drive {self.run}: {error.strerror}; it belongs to another user or machine"
            ) from None
        self.asked[request.id] = request
        return request

    def stopping(self, history: History) -> bool:
        """Whether a stop was asked here that is not done yet."""
        open_ones = (
            request
            for request in self.asked.values()
            if request.verb == "stop" and _status(request, history, request.time) != "refused"
        )
        return any(open_ones) and history.end is None

    def lines(self, history: History, now: float, most: int) -> list[Line]:
        """The latest `most` commands, oldest first: those asked here and those the log tells of."""
        dated = [(c.time, self._told(key, history, now)) for key, c in history.commands.items()]
        dated += [
            (request.time, self._told(key, history, now))
            for key, request in self.asked.items()
            if key not in history.commands
        ]
        return [line for _, line in sorted(dated, key=lambda pair: pair[0])[-most:]]

    def _request(self, key: str) -> Request | None:
        """A command that was sent from here or, as the control file has it, before or elsewhere."""
        if key not in self.asked and key not in self._sent:
            self._sent[key] = None  # a log from elsewhere comes without its control file
            self._sent |= {request.id: request for request in sent(self.run)}
        return self.asked.get(key) or self._sent.get(key)

    def _told(self, key: str, history: History, now: float) -> Line:
        request, answer = self._request(key), history.commands.get(key)
        if answer is None:
            assert request is not None
            return Line(_status(request, history, now), _name(request))
        name = _name(request) if request else one_line(answer.verb, 20)
        said = one_line(answer.message, 200)
        return Line(answer.status, f"{name}: {said}" if said else f"{name} at {answer.iteration}")


def _status(request: Request, history: History, now: float) -> Status:
    answer = history.commands.get(request.id)
    if answer is not None:
        return answer.status
    return "unanswered" if now - request.time > LATE else "asked"


def _name(request: Request) -> str:
    if request.verb == "max_iters":
        return f"limit {request.max_iters}"
    if request.verb == "sample" and request.prompt is not None:
        return f"sample “{one_line(request.prompt, 24)}”"
    return request.verb
