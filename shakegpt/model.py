"""GPT-2, whole: the model of the talk, readable from top to bottom.

Tokens become vectors (`wte`, `wpe`), N blocks read and write one residual stream (attention
gathers from earlier tokens, the MLP works on each token alone), and `ln_f` with the tied head turns
the last vector into a logit for every token that could come next. Names, shapes and layouts are
those of OpenAI's checkpoint, so loading one is a loop with an assert: no mapping, no transposing.

Nothing here is tuned for speed. Faster matrix products, recomputation, compilation, the chunked
loss and the KV cache are installed on the finished model by the modules of `shakegpt.nn`, and each
is tested against the plain computation below.

Letters in shape comments: B sequences in a batch, T tokens in a sequence, C width of the residual
stream (n_embd), nh heads of hs = C / nh dimensions each, V tokens in the vocabulary.

References: Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2019, "Language Models
are Unsupervised Multitask Learners"; the released code and weights of openai/gpt-2; Andrej
Karpathy's nanoGPT, whose variable names are used here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shakegpt.config import GPTConfig as GPTConfig


def embedding(rows: int, width: int) -> nn.Embedding:
    """A vector of `width` numbers for each row, allocated but not filled."""
    weight = torch.empty(rows, width)
    table: nn.Embedding = nn.Embedding.from_pretrained(weight, freeze=False)  # type: ignore[no-untyped-call]
    return table


class Conv1D(nn.Module):
    """A linear layer whose weight is stored as (in, out), as in GPT-2's checkpoint."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        y = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return y.view(*x.shape[:-1], -1)


class Attention(nn.Module):
    """Causal self-attention: each token gathers from itself and the tokens before it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        B, T, C = x.shape
        qkv = self.c_attn(x).view(B, T, 3, self.n_head, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, nh, T, hs) each
        y = self.attend(q, k, v).transpose(1, 2).reshape(B, T, C)
        return F.dropout(self.c_proj(y), self.dropout, self.training)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(hs)) v over the keys up to each query: (B, nh, T, hs)."""
        p = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=p)


class MLP(nn.Module):
    """Position-wise feed-forward network: expand 4x, GELU, project back."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.gelu = "tanh" if config.activation_function == "gelu_new" else "none"
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = F.gelu(self.c_fc(x), approximate=self.gelu)  # GPT-2 was trained with the tanh form
        return F.dropout(self.c_proj(x), self.dropout, self.training)


class Block(nn.Module):
    """A transformer block: attention and MLP, each added to the residual stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


class GPT(nn.Module):
    """The language model. Its state dict is a GPT-2 checkpoint, name for name."""

    def __init__(self, config: GPTConfig) -> None:
        """Weights are allocated but not filled: see `checkpoint.io.load` and `initialize`.

        Raises ValueError if the heads do not divide the width.
        """
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(
                f"n_embd must be a multiple of n_head, got {config.n_embd} and {config.n_head}"
            )
        self.config = config
        V, T, C = config.vocab_size, config.block_size, config.n_embd
        self.wte = embedding(V, C)
        self.wpe = embedding(T, C)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        if not config.tie_word_embeddings:
            self.lm_head = embedding(V, C)

    @property
    def head(self) -> nn.Embedding:
        """The matrix (V, C) of the logits: the token embedding, or a separate one."""
        return self.wte if self.config.tie_word_embeddings else self.lm_head

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Tensor:
        """Predict the token after each token of `idx` (B, T), a long tensor with T <= block_size.

        Without targets: logits (B, T, V). With targets (B, T): their mean cross-entropy in nats per
        token.
        """
        x = self.trunk(idx)
        logits: Tensor = F.linear(x, self.head.weight)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def trunk(self, idx: Tensor, start: int = 0) -> Tensor:
        """Embeddings, blocks and the last LayerNorm: (B, T) -> (B, T, C).

        `start` is the position of the first token: 0, unless a KV cache holds those before it.
        """
        end = start + idx.size(1)
        assert end <= self.config.block_size, f"{end} tokens > block_size {self.config.block_size}"
        x = self.wte(idx) + self.wpe.weight[start:end]  # (B, T, C) + (T, C)
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.h:
            x = block(x)
        out: Tensor = self.ln_f(x)
        return out

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Fill the weights as GPT-2 did: normal with std 0.02, residual projections smaller."""
        for name, p in sorted(self.named_parameters()):
            if name.endswith("bias"):
                p.zero_()
            elif p.dim() == 1:  # LayerNorm
                p.fill_(1.0)
            else:
                # each block adds two projections to the stream: scaled to keep its variance
                residual = 1 / math.sqrt(2 * self.config.n_layer) if "c_proj" in name else 1.0
                p.normal_(0.0, 0.02 * residual, generator=generator)
