"""Handles signals, commands and heartbeats while training runs.

A listener thread receives signals and commands even while a long backward pass occupies the main
thread. Weights do not change within an iteration: on a stop the state of the last finished one is
saved at once, in a thread, and training stops at its next safe point, or is ended after `GRACE`
seconds. Safe points, where it calls `check`, are between micro-steps, evaluation batches and
tokens.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
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
"""Seconds after saving until a trainer that reaches no safe point is ended."""


class Log(Protocol):
    """A receiver of records: a run log, a console, both."""

    def write(self, event: schema.Event) -> None:
        """Receive one record."""


class NullLog:
    """Discard the records."""

    def write(self, event: schema.Event) -> None:
        """Discard the record."""

    def close(self) -> None:
        """Nothing is open."""


def _numbers(*names: str) -> set[int]:
    """The numbers of those signals that this system has."""
    return {int(getattr(signal, name)) for name in names if hasattr(signal, name)}


class Supervisor:
    """A context manager around the training."""

    def __init__(
        self, log: Log, inbox: Inbox, *, signals: bool = True, save_signal: str | None = None
    ) -> None:
        """Poll `inbox`; with `signals`, which needs the main thread, also handle signals.

        SIGINT, SIGTERM, SIGXCPU and `save_signal` save and stop; SIGUSR1 and SIGUSR2 save, unless
        one of them is `save_signal`; SIGHUP is ignored.
        """
        self._stop_signals = _numbers("SIGINT", "SIGTERM", "SIGXCPU", save_signal or "SIGTERM")
        self._save_signals = _numbers("SIGUSR1", "SIGUSR2") - self._stop_signals
        self._log, self._inbox, self._signals = log, inbox, signals
        self._process = psutil.Process()
        self._stop: Stopped | None = None
        self._paused = False
        self._waiting = False
        """Whether a pause has reached a safe point."""
        self._handling = False
        self._excluded_seconds = 0.0
        self._requests: deque[Request] = deque()
        self._refusal = ""
        self._at_safe_point, self._closing = threading.Event(), threading.Event()
        self._wakeup_read, self._wakeup_write = socket.socketpair()
        self._listener = threading.Thread(target=self._listen, name="supervisor", daemon=True)
        self._listener_error: Exception | None = None
        self._saver: threading.Thread | None = None
        self._save_error: Exception | None = None
        self._phase: schema.Phase = "starting"
        self._last_heartbeat = 0.0
        self._log_lock, self._ended = threading.Lock(), False
        self.iteration = 0
        """Finished iterations; changes while `weights_lock` is held."""
        self.max_iters = 0
        self.weights_lock = threading.RLock()
        """Held while weights or moments change, and while they are saved."""
        self.save: Callable[[], None] | None = None
        """Saves the state of the last finished iteration; None until there is one."""
        self.on_abandon: Callable[[Stopped], None] = lambda stopped: None
        """Closes the log of a process that is ended without reaching a safe point."""

    def __enter__(self) -> Supervisor:
        self._old_handlers = {}
        if self._signals:
            self._wakeup_write.setblocking(False)
            fd = self._wakeup_write.fileno()
            self._old_fd = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
            for number in self._stop_signals | self._save_signals:
                if number != signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                    self._old_handlers[number] = signal.signal(number, lambda *_: None)
            if sys.platform != "win32":
                self._old_handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._at_safe_point.set()
        self._closing.set()
        self._listener.join()
        if self._signals:
            signal.set_wakeup_fd(self._old_fd)
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
        self._wakeup_read.close()
        self._wakeup_write.close()

    def memory(self) -> int:
        """Resident memory of this process, bytes."""
        return int(self._process.memory_info().rss)

    def clock(self) -> float:
        """Seconds of training, without pauses and the handling of commands."""
        return time.monotonic() - self._excluded_seconds

    @contextmanager
    def phase(self, phase: schema.Phase) -> Iterator[None]:
        """Report `phase` in heartbeats, and afterwards the previous one again."""
        before, self._phase = self._phase, phase
        self.heartbeat()
        try:
            yield
        finally:
            self._phase = before
            self.heartbeat()

    def heartbeat(self) -> None:
        """Write a heartbeat now."""
        self._last_heartbeat = time.monotonic()
        record = schema.Heartbeat(
            phase="paused" if self._paused and self._waiting else self._phase,
            iteration=self.iteration,
            max_iters=self.max_iters,
            memory=self.memory(),
        )
        with self._log_lock:
            if not self._ended:
                self._log.write(record)

    def write_end(self, end: schema.End) -> None:
        """Write the end record; no heartbeat follows it."""
        with self._log_lock:
            self._ended = True
            self._log.write(end)

    def check(self, handle_commands: Callable[[], object] | None = None) -> None:
        """A safe point: handles commands and waits while paused. Raises Stopped after a stop, and
        any error of the listener thread.

        Without `handle_commands`, within an evaluation or a sample, commands are left to the next
        safe point, and end the waiting.
        """
        while not self._handling and self._stop is None and self._listener_error is None:
            if self._requests and handle_commands is not None:
                handle_commands()
            elif self._paused and not self._requests:
                self._wait()
            else:
                break
        if self._stop is not None:
            raise self._stop
        if self._listener_error is not None:
            raise self._listener_error

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self.heartbeat()
        started = time.monotonic()
        time.sleep(POLL_SECONDS)
        self._excluded_seconds += time.monotonic() - started

    def check_local(self) -> None:
        """As `check`, for this process only."""
        Supervisor.check(self)

    def requests(self) -> Iterator[Request]:
        """Take the commands for the training loop, oldest first."""
        while self._requests:
            with self._handling_request():
                yield self._requests.popleft()

    @contextmanager
    def _handling_request(self) -> Iterator[None]:
        self._handling, started = True, self.clock()  # even during a pause
        try:
            yield
        finally:
            self._handling = False
            self._excluded_seconds += self.clock() - started

    def answer(self, request: Request, status: str, message: str = "") -> None:
        """Log the status of a command: accepted, done or refused."""
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
        """Receive signals and commands until closed. Errors are raised at the next safe point."""
        while not self._closing.is_set():
            try:
                if select.select([self._wakeup_read], [], [], POLL_SECONDS)[0]:
                    for number in self._wakeup_read.recv(64):
                        self._on_signal(number)
                with suppress(OSError):  # a full disk: the training loop's next record fails, too
                    for request in self._poll():
                        self._on_request(request)
                    if time.monotonic() - self._last_heartbeat > HEARTBEAT_SECONDS:
                        self.heartbeat()
            except Exception as error:  # of a receiver of records, such as a console
                self._listener_error = error
                time.sleep(POLL_SECONDS)

    def _poll(self) -> list[Request]:
        requests, refusal = self._inbox.poll(), self._inbox.refusal
        if refusal and refusal != self._refusal:
            self._log.write(schema.RunWarning(iteration=self.iteration, message=refusal))
        self._refusal = refusal
        return requests

    def _on_signal(self, number: int) -> None:
        if number in self._save_signals:
            self._save_now(Request(verb="save"))
        if number not in self._stop_signals:
            return
        if self._stop is not None:  # the second one: exit at once
            os._exit(128 + number)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self._request_stop(Stopped(f"stopped by {name}", 128 + number))

    def _save_now(self, request: Request) -> None:
        """Save in a thread, and log it as a command."""
        if self._stop is None:
            threading.Thread(target=self._save_and_answer, args=(request,), daemon=True).start()

    def _on_request(self, request: Request) -> None:
        if request.verb in ("pause", "resume"):
            self._waiting = False
            self._paused = request.verb == "pause"
            self.answer(request, "done")
            self.heartbeat()
        elif request.verb == "stop":
            self.answer(request, "accepted")
            self._request_stop(Stopped("stopped by command", 0), request)
        else:
            self.answer(request, "accepted")
            self._requests.append(request)

    def _request_stop(self, stopped: Stopped, request: Request | None = None) -> None:
        """Save in a thread; the trainer stops at its next safe point or after `GRACE` seconds."""
        self._saver = threading.Thread(target=self._save_and_answer, args=(request,), daemon=True)
        self._saver.start()
        self._stop = stopped  # after the saver, which `finish_saving` then waits for
        threading.Thread(target=self._end_after_grace, args=(stopped,), daemon=True).start()

    def finish_saving(self) -> None:
        """At the safe point, wait until the state is saved. Raises the error of saving.

        An iteration that finished meanwhile is saved as well.
        """
        self._at_safe_point.set()
        if self._saver is not None:
            self._saver.join()
        if self._save_error is not None:
            raise self._save_error
        if self.save is not None:
            self.save()

    def _save_and_answer(self, request: Request | None) -> None:
        try:
            if self.save is not None:
                self.save()
            if request is not None:
                self.answer(request, "done")
        except Exception as error:
            self._save_error = error

    def _end_after_grace(self, stopped: Stopped) -> None:
        if self._saver is not None:
            self._saver.join()
        if self._save_error is None and not self._at_safe_point.wait(GRACE):
            self.on_abandon(stopped)
            os._exit(stopped.exit_code)
