"""The supervisor of a process that trains with others: all pause and stop at the same point.

Rank 0 polls the commands and broadcasts them. A stop is published in the store of the process
group, which each process polls while it computes, so each learns of it at once; they stop together
at their next common safe point.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from shakegpt.distributed import rendezvous
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.runlog.control import Inbox, Request
from shakegpt.train.supervisor import Log, Supervisor

_STOP, _REPORTED = "stop", "reported"
RANK0_HEAD_START = 1.0
"""Seconds that rank 0 has to report a lost process before another one does."""


class GroupSupervisor(Supervisor):
    """A supervisor whose `check` and `requests` are collective: all processes call them."""

    def __init__(
        self,
        log: Log,
        inbox: Inbox,
        team: Team,
        *,
        signals: bool = True,
        save_signal: str | None = None,
    ) -> None:
        """As `Supervisor`; only rank 0 of `team` polls control.jsonl."""
        super().__init__(log, inbox, signals=signals, save_signal=save_signal)
        self._team, self._stop_published = team, False
        self._stop_requests: list[Request] = []
        self._peer_lost = False
        self._store = PrefixStore(f"shakegpt/{team.token}", rendezvous.store())

    def __exit__(self, *what: object) -> None:
        super().__exit__(*what)
        if self._peer_lost and self._signals:  # the launcher's SIGTERM must not suppress the report
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def check(self, handle_commands: Callable[[], object] | None = None) -> None:
        """As `Supervisor.check`, collectively: all wait, or raise Stopped, together."""
        while True:
            requested = self._team.first and bool(self._requests)
            paused = self._team.first and self._paused and not self._handling
            stopping = self._stop is not None
            stop, pause, requested = self._team.any_rank(stopping, paused, requested)
            if stop:
                self._poll_store()
                self._save_together()
                raise self._stop or Stopped("stopped", 0)
            if self._listener_error is not None:
                raise self._listener_error
            if requested and handle_commands is not None:
                handle_commands()
            elif pause and not requested:
                self._wait()
            else:
                return

    def check_local(self) -> None:
        """As `Supervisor.check_local`; with sharded weights all processes sample together."""
        self.check() if self._team.sharded else super().check_local()

    def requests(self) -> Iterator[Request]:
        """The commands to rank 0, in all processes, oldest first."""
        mine = [self._requests.popleft() for _ in range(len(self._requests))]
        shared = self._team.broadcast(msgspec.to_builtins(mine))
        for request in msgspec.convert(shared, list[Request]):
            with self._handling_request():
                yield request

    def peer_lost_error(self, run: Path) -> Exception:
        """Error to raise after a peer process died; only one process reports it."""
        self._peer_lost = True
        stopped = self._stop
        if stopped is not None and stopped.exit_code == 128 + signal.SIGTERM:
            stopped = None  # the launcher noticed it, too, but this report says more
        if not self._team.first:
            time.sleep(RANK0_HEAD_START)
        if stopped is not None or not self._first_to_report():
            return stopped or Stopped("another process reports it", 1)
        current = self._team.first and not self._team.sharded
        state = f"state of iteration {self.iteration}" if current else "last saved state"
        return ShakegptError(
            f"another process of this training was lost; the {state} is kept. Continue with "
            f"`shakegpt finetune --resume {run}`, with any number of processes",
            exit_code=1,
        )

    def _save_together(self) -> None:
        """Save sharded weights, at a common safe point."""
        if self._team.sharded and self.save is not None:
            self.save()
            for request in self._stop_requests:
                self.answer(request, "done")

    def _save_now(self, request: Request) -> None:
        """Save at the next common safe point, by a command of rank 0."""
        if self._team.first:
            self._requests.append(request)

    def finish_saving(self) -> None:
        """As `Supervisor`; sharded weights are saved by `check`."""
        if not self._team.sharded:
            super().finish_saving()

    def _save_and_answer(self, request: Request | None) -> None:
        if not self._team.sharded:
            super()._save_and_answer(request)
        elif request is not None:
            self._stop_requests.append(request)

    def _end_after_grace(self, stopped: Stopped) -> None:
        """As `Supervisor`; not with sharded weights, since saving needs all processes."""
        if not self._team.sharded:
            super()._end_after_grace(stopped)

    def _first_to_report(self) -> bool:
        try:
            return self._store.add(_REPORTED, 1) == 1
        except RuntimeError:
            return True

    def _poll(self) -> list[Request]:
        """As `Supervisor`, on rank 0; in all processes, check for a published stop."""
        if self._stop is None:
            self._poll_store()
        return super()._poll() if self._team.first else []

    def _poll_store(self) -> None:
        try:
            if self._stop is None and self._store.check([_STOP]):
                reason, code = msgspec.json.decode(self._store.get(_STOP), type=tuple[str, int])
                self._stop_published = True
                self._request_stop(Stopped(reason, code))
        except RuntimeError:  # the store is gone; the next collective call will fail
            return

    def _request_stop(self, stopped: Stopped, request: Request | None = None) -> None:
        """Publish the stop, then as `Supervisor`."""
        if not self._stop_published:
            self._stop_published = True
            content = msgspec.json.encode((stopped.reason, stopped.exit_code)).decode()
            self._store.set(_STOP, content)
        super()._request_stop(stopped, request)
