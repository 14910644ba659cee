"""What determines the numbers of a pretraining: its recipe, and its position. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Everything but the text that determines a run's numbers. Positions, sizes: in tokens."""

    seed: int = 1
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 256
    block_size: int = 256
    matrix_rate: float = 0.04
    matrix_decay: float = 0.025
    other_rate: float = 5e-3
    embedding_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    grad_clip: float = 1.0
    warmup: int = 500_000
    lengths: tuple[tuple[int, int], ...] = ((0, 64), (8_000_000, 128), (40_000_000, 256))
    """(position from which it applies, sequence length); a decay uses `block_size` throughout."""
    updates: tuple[tuple[int, int], ...] = ((0, 4096), (4_000_000, 8192), (16_000_000, 16384))
    """(position from which it applies, tokens per update)."""
    micro_batch: int = 2048


@dataclass
class Progress:
    """The position of a run, as in its state."""

    tokens: int = 0
    updates: int = 0
    seconds: float = 0.0
    decay_from: int | None = None
    """The tokens at which the decay branched off; None in the stable phase."""
    decay_tokens: int = 0

    @property
    def end(self) -> int:
        """The tokens at which a decay ends."""
        return (self.decay_from or 0) + self.decay_tokens

    def rate_factor(self, warmup: int) -> float:
        """The factor of the next update's rates: warm-up, stable, decay."""
        if self.decay_from is not None:
            return max(0.0, 1 - (self.tokens - self.decay_from) / self.decay_tokens)
        return min(1.0, (self.tokens + 1) / warmup)
