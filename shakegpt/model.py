"""GPT-2, whole: the model of the talk, readable from top to bottom.

Tokens become vectors (`wte`, `wpe`), N blocks read and write one residual stream (attention looks
back over the tokens, the MLP thinks about each), `ln_f` and the tied head turn the last vector into
a score for every token that could come next. Names, shapes and layouts are those of OpenAI's
checkpoint, so loading one is a loop with an assert: no mapping, no transposing.

Letters in shape comments: B windows in a batch, T tokens in a window, C width of the residual
stream (n_embd), nh heads of hs = C / nh dimensions each, V tokens in the vocabulary.

References: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; the released
code and weights of openai/gpt-2; Andrej Karpathy's nanoGPT, whose names for things this keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from shakegpt.config import GPTConfig as GPTConfig
from shakegpt.nn.matmul import affine


class KVCache:
    """Keys and values of the tokens seen so far, so that each token is computed once.

    Allocated once for the whole window and written in place; `length` tokens are filled.
    """

    def __init__(self, config: GPTConfig, batch: int, like: Tensor) -> None:
        heads = (config.n_head, config.block_size, config.n_embd // config.n_head)
        self.keys = like.new_empty(config.n_layer, batch, *heads)  # (L, B, nh, T, hs)
        self.values = like.new_empty(config.n_layer, batch, *heads)
        self.length = 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write k and v (B, nh, T, hs) of new tokens; return those of all tokens so far."""
        end = self.length + k.size(2)
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class Embedding(nn.Embedding):
    """A vector for each token or place: (..., ) -> (..., C)."""

    def reset_parameters(self) -> None:
        """Leave it unfilled: filling a tensor without memory would import PyTorch's compiler."""


class Conv1D(nn.Module):
    """A linear layer whose weight is stored (in, out), as GPT-2's checkpoint has it."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        flat = affine(x.view(-1, x.size(-1)), self.weight, self.bias)
        return flat.view(*x.shape[:-1], -1)


class Attention(nn.Module):
    """Causal self-attention: each token gathers from itself and the tokens before it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, layer: int = 0, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        q, k, v = (
            self.c_attn(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        )  # (B,nh,T,hs)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        y = self._gather(q, k, v)
        y = self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        return F.dropout(y, self.dropout, self.training)

    def _gather(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What each query finds among the keys up to its own place: (B, nh, T, hs)."""
        new, seen = q.size(2), k.size(2)
        if new == seen:  # the fused kernels know this case without a mask
            p = self.dropout if self.training else 0.0
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p)
        if new == 1:
            return F.scaled_dot_product_attention(q, k, v)
        mask = torch.ones(new, seen, dtype=torch.bool, device=q.device).tril(seen - new)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class MLP(nn.Module):
    """Four times wider, a bend, and back: where each token is thought about by itself."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = F.gelu(self.c_fc(x), approximate="tanh")  # GPT-2 was trained with the tanh form
        return F.dropout(self.c_proj(x), self.dropout, self.training)


class Block(nn.Module):
    """Read the residual stream, add what attention and the MLP make of it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, layer: int = 0, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        gathered: Tensor = self.attn(self.ln_1(x), layer, cache)
        x = x + gathered
        thought: Tensor = self.mlp(self.ln_2(x))
        return x + thought


class GPT(nn.Module):
    """The language model. Its state dict is a GPT-2 checkpoint, name for name."""

    def __init__(self, config: GPTConfig) -> None:
        """Memory for the weights, not yet filled: see `checkpoint.load` and `initialize`."""
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(f"n_embd {config.n_embd} is no multiple of n_head {config.n_head}")
        self.config = config
        self.wte = Embedding(config.vocab_size, config.n_embd)
        self.wpe = Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.recompute = False
        """Keep only the stream between blocks for the backward pass, and compute the rest again."""
        self.through: Callable[[Block, Tensor], Tensor] | None = None
        """How training goes through a block, where not plainly: compiled."""

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Predict the token after each token of `idx` (B, T), a long tensor with T <= block_size.

        Without targets: logits (B, T, V). With targets (B, T): their mean cross-entropy in nats a
        token. With a cache: `idx` goes on where the cache ends, and only the logits after the last
        token are returned, (B, 1, V).
        """
        x = self.trunk(idx, cache)
        if cache is not None:
            x = x[:, -1:]
        # the head is the embedding, read the other way
        logits: Tensor = F.linear(x, self.wte.weight)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def trunk(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """Embeddings, blocks and the last LayerNorm: (B, T) -> (B, T, C)."""
        start = cache.length if cache is not None else 0
        end = start + idx.size(1)
        assert end <= self.config.block_size, f"{end} tokens, window {self.config.block_size}"
        x = self.wte(idx) + self.wpe.weight[start:end]  # (B, T, C) + (T, C)
        x = F.dropout(x, self.config.dropout, self.training)
        for layer, block in enumerate(self.h):
            if self.training and (self.recompute or self.through):
                x = self._learning(block, x)
            else:
                x = block(x, layer, cache)
        if cache is not None:
            cache.length = end
        out: Tensor = self.ln_f(x)
        return out

    def _learning(self, block: nn.Module, x: Tensor) -> Tensor:
        """A block in training, (B, T, C) -> (B, T, C): compiled, recomputed, or both."""
        through = self.through or nn.Module.__call__
        y: Tensor = (
            checkpoint(through, block, x, use_reentrant=False)
            if self.recompute
            else through(block, x)  # type: ignore[arg-type]
        )
        return y

    def new_cache(self, batch: int = 1) -> KVCache:
        """An empty cache for `batch` texts, on the model's device and in its dtype."""
        return KVCache(self.config, batch, self.wpe.weight)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Fill the weights as GPT-2's training began: normal 0.02, residual projections smaller."""
        for name, p in sorted(self.named_parameters()):
            if name.endswith("bias"):
                p.zero_()
            elif p.dim() == 1:  # LayerNorm
                p.fill_(1.0)
            else:
                # two projections a block add to the stream: scaled so that its variance stays
                residual = 1 / math.sqrt(2 * self.config.n_layer) if "c_proj" in name else 1.0
                p.normal_(0.0, 0.02 * residual, generator=generator)
