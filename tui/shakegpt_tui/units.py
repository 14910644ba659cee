"""Numbers as the screens show them: `shakegpt.format`, losses with three decimals."""

from __future__ import annotations

from shakegpt import format
from shakegpt.format import NOTHING as NOTHING
from shakegpt.format import ago as ago
from shakegpt.format import clock as clock
from shakegpt.format import duration as duration
from shakegpt.format import rate as rate
from shakegpt.format import size as size
from shakegpt.format import throughput as throughput


def loss(value: float | None) -> str:
    """Nats a token."""
    return format.loss(value, 3)
