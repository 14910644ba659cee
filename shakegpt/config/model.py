"""The shape of a model, and its number of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a GPT-2. The defaults are the smallest one that OpenAI released, 124M."""

    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    block_size: int = 1024
    vocab_size: int = 50257
    layer_norm_epsilon: float = 1e-5
    dropout: float = 0.0
    activation_function: Literal["gelu_new", "gelu"] = "gelu_new"
    """GELU in its tanh form, as OpenAI's, or exact, as nanoGPT's."""
    tie_word_embeddings: bool = True
    """Whether the head shares the matrix of the token embedding."""

    @property
    def block_params(self) -> int:
        """Parameters of a block: 12 C² weights (3 and 1 of attention, 4 and 4 of the MLP), 9 C
        biases, 4 C of its LayerNorms.
        """
        return 12 * self.n_embd**2 + 13 * self.n_embd

    @property
    def n_params(self) -> int:
        """Number of parameters, a tied embedding counted once; the last LayerNorm has 2 C."""
        rows = self.vocab_size if self.tie_word_embeddings else 2 * self.vocab_size
        return (rows + self.block_size + 2) * self.n_embd + self.n_layer * self.block_params


def block_size_fault(block_size: int | None, shape: GPTConfig, name: str) -> str | None:
    """An error message when the model `name` has too few positions for `block_size`; else None."""
    if block_size is None or block_size <= shape.block_size:
        return None
    return f"--block-size {block_size} is over the {shape.block_size} that {name} was made for"
