"""Driving a run: the commands sent from here, and what the log says became of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Request, Verb, send, sent
from shakegpt.runlog.history import History
from shakegpt.sanitize import one_line

LATE = 30.0
"""Seconds without an answer after which a command is unanswered: one micro-batch of the largest
GPT-2 on two cores takes about half of that."""

Status = Literal["sent", "unanswered", "accepted", "done", "refused"]
MARKS: dict[Status, str] = {
    "sent": "…",
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
    """Sends commands to the trainer of `run` and remembers them by id."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.sent_here: dict[str, Request] = {}
        self._control: dict[str, Request | None] = {}

    def ask(self, verb: Verb, **values: Any) -> Request:
        """Send one command; raises ShakegptError when the run directory cannot be written."""
        try:
            request = send(self.run, Request(verb=verb, **values))
        except OSError as error:
            raise ShakegptError(
                f"cannot drive {self.run}: {error.strerror}; it belongs to another user or machine"
            ) from None
        self.sent_here[request.id] = request
        return request

    def stopping(self, history: History) -> bool:
        """Whether a stop was sent from here that is not done yet."""
        return history.end is None and any(
            request.verb == "stop" and _status(request, history, request.time) != "refused"
            for request in self.sent_here.values()
        )

    def lines(self, history: History, now: float, most: int) -> list[Line]:
        """The latest `most` commands, oldest first: those sent from here and those in the log."""
        dated = [(c.time, self._line(key, history, now)) for key, c in history.commands.items()]
        dated += [
            (request.time, self._line(key, history, now))
            for key, request in self.sent_here.items()
            if key not in history.commands
        ]
        return [line for _, line in sorted(dated, key=lambda pair: pair[0])[-most:]]

    def _request(self, key: str) -> Request | None:
        """A command that was sent from here or, as the control file has it, before or elsewhere."""
        if key not in self.sent_here and key not in self._control:
            self._control[key] = None  # a log from elsewhere comes without its control file
            self._control |= {request.id: request for request in sent(self.run)}
        return self.sent_here.get(key) or self._control.get(key)

    def _line(self, key: str, history: History, now: float) -> Line:
        request, answer = self._request(key), history.commands.get(key)
        if answer is None:
            assert request is not None
            return Line(_status(request, history, now), _name(request))
        name = _name(request) if request else one_line(answer.verb, 20)
        message = one_line(answer.message, 200)
        text = f"{name}: {message}" if message else f"{name} at {answer.iteration}"
        return Line(answer.status, text)


def _status(request: Request, history: History, now: float) -> Status:
    answer = history.commands.get(request.id)
    if answer is not None:
        return answer.status
    return "unanswered" if now - request.time > LATE else "sent"


def _name(request: Request) -> str:
    if request.verb == "max_iters":
        return f"limit {request.max_iters}"
    if request.verb == "sample" and request.prompt is not None:
        return f"sample “{one_line(request.prompt, 24)}”"
    return request.verb
