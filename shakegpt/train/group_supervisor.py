"""The driver of a process that trains with others: all pause, obey and leave at the same point.

Commands are read by the first process and passed on. A stop is told through the store of the
process group, which each process looks into while it computes: each knows of it within a moment,
however long its computation, and they leave together at the next point where all of them meet.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from shakegpt.distributed import group
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.runlog.control import Inbox, Request
from shakegpt.train.supervisor import Driver, Log

_STOP, _TOLD = "stop", "told"
PATIENCE = 1.0
"""Seconds that the first process gets to say what happened before another one does."""


class LockstepDriver(Driver):
    """A driver whose `check` and `requests` are points where all processes meet."""

    def __init__(self, log: Log, inbox: Inbox, team: Team, *, signals: bool = True) -> None:
        """As `Driver`; only the first process of `team` listens to control.jsonl."""
        super().__init__(log, inbox, signals=signals)
        self._team, self._told = team, False
        self._stops: list[Request] = []
        self._bereaved = False
        self._store = PrefixStore(f"shakegpt/{team.token}", group.store())

    def __exit__(self, *what: object) -> None:
        super().__exit__(*what)
        if self._bereaved and self._signals:  # the launcher's SIGTERM must not cut the sentence off
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def check(self, meanwhile: Callable[[], object] | None = None) -> None:
        """As `Driver.check`, for all: they wait together, and raise Stopped together."""
        while True:
            waiting = self._team.first and bool(self._requests)
            paused = self._team.first and self._paused and not self._obeying
            stop, pause, obey = self._team.flags(self._stop is not None, paused, waiting)
            if stop:
                self._overhear()
                self._save_together()
                raise self._stop or Stopped("stopped", 0)
            if not pause or (obey and meanwhile is None):
                return
            if obey and meanwhile is not None:
                meanwhile()
            else:
                self._rest()

    def check_alone(self) -> None:
        """As `Driver.check_alone`; a model in shares is sampled by all of them."""
        self.check() if self._team.in_shares else super().check_alone()

    def requests(self) -> Iterator[Request]:
        """The commands that the first process heard, in all of them, oldest first."""
        mine = [self._requests.popleft() for _ in range(len(self._requests))]
        for request in msgspec.convert(self._team.told(msgspec.to_builtins(mine)), list[Request]):
            with self._obey():
                yield request

    def bereaved(self, run: Path) -> Exception:
        """What to raise when another process is no more: a sentence, from one process only."""
        self._bereaved = True
        leaving = self._stop
        if leaving is not None and leaving.exit_code == 128 + signal.SIGTERM:
            leaving = None  # from a launcher that has seen it, too: that says less
        if not self._team.first:
            time.sleep(PATIENCE)
        if leaving is not None or not self._first_to_tell():
            return leaving or Stopped("another process tells", 1)
        last = self._team.first and not self._team.in_shares
        kept = f"state of iteration {self.iteration}" if last else "last saved state"
        return ShakegptError(
            f"another process of this training was lost: the {kept} is kept; go on with `shakegpt "
            f"finetune --resume {run}`, with any number of processes",
            exit_code=1,
        )

    def _save_together(self) -> None:
        """At the safe point: with shares, the state is saved here, where all are."""
        if self._team.in_shares and self.save is not None:
            self.save()
            for request in self._stops:
                self.answer(request, "done")

    def finish_saving(self) -> None:
        """As `Driver`; with shares, that has happened, or cannot be without those who are gone."""
        if not self._team.in_shares:
            super().finish_saving()

    def _save_then_tell(self, request: Request | None) -> None:
        if not self._team.in_shares:
            super()._save_then_tell(request)
        elif request is not None:
            self._stops.append(request)

    def _leave_behind(self, stopped: Stopped) -> None:
        """With shares nobody is: the state needs them all."""
        if not self._team.in_shares:
            super()._leave_behind(stopped)

    def _first_to_tell(self) -> bool:
        try:
            return self._store.add(_TOLD, 1) == 1
        except RuntimeError:
            return True

    def _heard(self) -> list[Request]:
        """Also look whether another process was told to stop: called all the time."""
        if self._stop is None:
            self._overhear()
        return super()._heard() if self._team.first else []

    def _overhear(self) -> None:
        try:
            if self._stop is None and self._store.check([_STOP]):
                reason, code = msgspec.json.decode(self._store.get(_STOP), type=tuple[str, int])
                self._told = True
                self._stop_for(Stopped(reason, code))
        except RuntimeError:  # the store is no more: so is the team, as the next meeting will show
            return

    def _stop_for(self, stopped: Stopped, request: Request | None = None) -> None:
        """Tell the others, then as `Driver`: the first process saves at once."""
        if not self._told:
            self._told = True
            self._store.set(
                _STOP, msgspec.json.encode((stopped.reason, stopped.exit_code)).decode()
            )
        super()._stop_for(stopped, request)
