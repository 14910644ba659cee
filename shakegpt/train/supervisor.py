"""What reaches a trainer while it works: signals, commands, and the heartbeat it gives in return.

A thread listens, so that a signal or command is heard even while a long backward pass holds the
main thread. Weights do not change inside an iteration: the state of the last finished one is saved
at once, beside the computation, and the trainer leaves at its next safe point, or is left behind
after `GRACE` seconds. Safe points, where it calls `check`, are between micro-steps, windows and
tokens.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import psutil

from shakegpt.errors import Stopped
from shakegpt.runlog import schema
from shakegpt.runlog.control import Inbox, Request

HEARTBEAT_SECONDS = 4.0
POLL_SECONDS = 0.1
GRACE = 3.0
"""Seconds that a trainer whose state is saved gets to reach a safe point before it is left."""


class Log(Protocol):
    """Whatever takes records: a run log, a console, both."""

    def write(self, event: schema.Event) -> None:
        """Take one record."""


class Driver:
    """The trainer's ears and pulse. Enter it for as long as the trainer runs."""

    def __init__(self, log: Log, inbox: Inbox, *, signals: bool = True) -> None:
        """Listen to `inbox`, and to signals if this is the program's own thread."""
        self._log, self._inbox, self._signals = log, inbox, signals
        self._process = psutil.Process()
        self._stop: Stopped | None = None
        self._paused = False
        self._obeying = False
        self._aside = 0.0
        self._requests: deque[Request] = deque()
        self._refusal = ""
        self._safe, self._left = threading.Event(), threading.Event()
        self._ears, self._mouth = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, name="driver", daemon=True)
        self._saver: threading.Thread | None = None
        self._unsaved: Exception | None = None
        self._phase: schema.Phase = "starting"
        self._beaten = 0.0
        self._speaking, self._silent = threading.Lock(), False
        self.iteration = 0
        self.max_iters = 0
        self.weights = threading.RLock()
        """Held while weights or moments change, and while they are written."""
        self.save: Callable[[], None] | None = None
        """Puts the state of the last finished iteration on disk; set once there is one."""
        self.abandon: Callable[[Stopped], None] = lambda stopped: None
        """Last words of a process that is left behind in the middle of a computation."""

    def __enter__(self) -> Driver:
        self._old = {}
        if self._signals:
            self._mouth.setblocking(False)
            self._old_fd = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, lambda *_: None)
            self._old[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._safe.set()
        self._left.set()
        self._thread.join()
        if self._signals:
            signal.set_wakeup_fd(self._old_fd)
            for number, handler in self._old.items():
                signal.signal(number, handler)
        self._ears.close()
        self._mouth.close()

    def memory(self) -> int:
        """Resident memory of this process, bytes."""
        return int(self._process.memory_info().rss)

    def clock(self) -> float:
        """Seconds of work: stands still in a pause; a command's are taken off once it is done."""
        return time.monotonic() - self._aside

    @contextmanager
    def phase(self, phase: schema.Phase) -> Iterator[None]:
        """Say what the trainer is about to do, and what it goes back to afterwards."""
        before, self._phase = self._phase, phase
        self.beat()
        try:
            yield
        finally:
            self._phase = before
            self.beat()

    def beat(self) -> None:
        """Write a heartbeat now."""
        self._beaten = time.monotonic()
        beat = schema.Heartbeat(
            phase="paused" if self._paused else self._phase,
            iteration=self.iteration,
            max_iters=self.max_iters,
            memory=self.memory(),
        )
        with self._speaking:
            if not self._silent:
                self._log.write(beat)

    def last_word(self, end: schema.End) -> None:
        """Write how the run ended; no heartbeat comes after it."""
        with self._speaking:
            self._silent = True
            self._log.write(end)

    def check(self, meanwhile: Callable[[], object] | None = None) -> None:
        """A safe point: waits while paused; raises Stopped when asked to stop.

        `meanwhile` carries out the commands that come during a pause. A safe point without it, in
        the middle of an evaluation or a sample, goes on instead: then the next one has its turn.
        """
        while self._paused and not self._obeying and self._stop is None:
            if not self._requests:
                self._rest()
            elif meanwhile is None:
                break
            else:
                meanwhile()
        if self._stop is not None:
            raise self._stop

    def _rest(self) -> None:
        began = time.monotonic()
        time.sleep(POLL_SECONDS)
        self._aside += time.monotonic() - began

    def check_alone(self) -> None:
        """As `check`, and a point of this process only: no other one is there, too."""
        Driver.check(self)

    def requests(self) -> Iterator[Request]:
        """Take the commands that the trainer itself must carry out, oldest first."""
        while self._requests:
            with self._obey():
                yield self._requests.popleft()

    @contextmanager
    def _obey(self) -> Iterator[None]:
        self._obeying, began = True, self.clock()  # what is asked for is done in spite of a pause
        try:
            yield
        finally:
            self._obeying = False
            self._aside += self.clock() - began

    def answer(self, request: Request, status: str, message: str = "") -> None:
        """Say in the log what became of a command: accepted, done or refused."""
        self._log.write(
            schema.Command(
                id=request.id,
                verb=request.verb,
                status=status,  # type: ignore[arg-type]
                message=message,
                iteration=self.iteration,
            )
        )

    def _listen(self) -> None:
        while not self._left.is_set():
            if select.select([self._ears], [], [], POLL_SECONDS)[0]:
                for number in self._ears.recv(64):
                    self._hear_signal(signal.Signals(number))
            with suppress(OSError):  # a full disk: the trainer's own next record ends the run
                for request in self._heard():
                    self._hear(request)
                if time.monotonic() - self._beaten > HEARTBEAT_SECONDS:
                    self.beat()

    def _heard(self) -> list[Request]:
        requests, refusal = self._inbox.poll(), self._inbox.refusal
        if refusal and refusal != self._refusal:
            self._log.write(schema.Warning(iteration=self.iteration, message=refusal))
        self._refusal = refusal
        return requests

    def _hear_signal(self, number: signal.Signals) -> None:
        if number not in (signal.SIGINT, signal.SIGTERM):
            return
        if self._stop is not None:  # the second one: leave at once
            os._exit(128 + number)
        name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        self._stop_for(Stopped(f"stopped by {name}", 128 + number))

    def _hear(self, request: Request) -> None:
        if request.verb in ("pause", "resume"):
            self._paused = request.verb == "pause"
            self.answer(request, "done")
            self.beat()
        elif request.verb == "stop":
            self.answer(request, "accepted")
            self._stop_for(Stopped("stopped by command", 0), request)
        else:
            self.answer(request, "accepted")
            self._requests.append(request)

    def _stop_for(self, stopped: Stopped, request: Request | None = None) -> None:
        """Save, then let the main thread leave at its next safe point, or leave it behind."""
        self._saver = threading.Thread(target=self._save_then_tell, args=(request,), daemon=True)
        self._saver.start()
        self._stop = stopped  # not before: whoever sees it waits for the saver
        threading.Thread(target=self._leave_behind, args=(stopped,), daemon=True).start()

    def finish_saving(self) -> None:
        """At the safe point: wait until the state is on disk; raises what kept it from that.

        An update that was being made while that state was written is worth another one.
        """
        self._safe.set()
        if self._saver is not None:
            self._saver.join()
        if self._unsaved is not None:
            raise self._unsaved
        if self.save is not None:
            self.save()

    def _save_then_tell(self, request: Request | None) -> None:
        try:
            if self.save is not None:
                self.save()
            if request is not None:
                self.answer(request, "done")
        except Exception as error:
            self._unsaved = error

    def _leave_behind(self, stopped: Stopped) -> None:
        if self._saver is not None:
            self._saver.join()
        if self._unsaved is None and not self._safe.wait(GRACE):
            self.abandon(stopped)
            os._exit(stopped.exit_code)
