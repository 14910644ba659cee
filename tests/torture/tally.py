"""What a list of cases came to, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Tally:
    """One line of the table: a list of cases, what was lost of them, what was measured."""

    name: str
    tried: int = 0
    losses: list[str] = field(default_factory=list)
    """A sentence for each case that was not survived."""
    notes: list[str] = field(default_factory=list)
    """What was measured on the way."""
    seconds: float = 0.0

    @property
    def survived(self) -> int:
        """Cases that ended as they should."""
        return self.tried - len(self.losses)

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Count a case; an assertion that fails in it, or anything raised, is a loss."""
        self.tried += 1
        try:
            yield
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            self.losses.append(f"{name}: {said[:400]}")

    def note(self, text: str) -> None:
        """Keep a measured thing for the record."""
        self.notes.append(text)


def table(tallies: Iterable[Tally]) -> str:
    """Lists with cases tried, survived, lost; then the notes, then every loss in full."""
    tallies = list(tallies)
    whole = Tally("together", sum(t.tried for t in tallies))
    whole.losses = [loss for t in tallies for loss in t.losses]
    whole.seconds = sum(t.seconds for t in tallies)
    lines = [f"{'list':<28}{'tried':>12}{'survived':>12}{'lost':>8}{'seconds':>10}"]
    lines += [
        f"{t.name:<28}{t.tried:>12,}{t.survived:>12,}{len(t.losses):>8,}{t.seconds:>10,.0f}"
        for t in [*tallies, whole]
    ]
    lines += [f"\n{t.name}\n" + "\n".join(f"  {n}" for n in t.notes) for t in tallies if t.notes]
    lines += [f"\nlost: {loss}" for loss in whole.losses]
    return "\n".join(lines)
