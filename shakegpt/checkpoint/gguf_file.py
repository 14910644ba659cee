"""A model and its vocabulary in one GGUF file, for llama.cpp, Ollama and programs based on them.

Keys and names are those of llama.cpp's own converter for GPT-2. The pre-tokenizer "gpt-2" is named
explicitly, since the converter recognizes it for OpenAI's vocabulary only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.files import PART, flush_to_disk
from shakegpt.hardware.resource_errors import writing
from shakegpt.model import GPT

_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_WHOLE = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output"}


def write_gguf(path: Path, name: str, model: GPT, tokenizer: Tokenizer) -> int:
    """Write `model`, called `name`, in float32 to `path`; returns its bytes.

    Raises ShakegptError without the package gguf, for a vocabulary without an end-of-text token,
    which the format requires, and for disk errors. `path` is replaced atomically.
    """
    try:
        import gguf
    except ImportError:
        raise ShakegptError(
            "GGUF needs the package gguf: pip install 'shakegpt[export]'", exit_code=1
        ) from None
    if tokenizer.eot is None:
        raise ShakegptError(
            f"the vocabulary of {name} has no end-of-text token, which a GGUF file must name"
        )
    shape, state = model.config, model.state_dict()
    part = path.with_name(f".{path.name}{PART}")
    with writing(path.parent, sum(4 * tensor.numel() for tensor in state.values())):
        writer: Any = gguf.GGUFWriter(part, "gpt2")
        try:
            writer.add_name(name)
            writer.add_file_type(gguf.LlamaFileType.ALL_F32)
            writer.add_block_count(shape.n_layer)
            writer.add_context_length(shape.block_size)
            writer.add_embedding_length(shape.n_embd)
            writer.add_feed_forward_length(4 * shape.n_embd)
            writer.add_head_count(shape.n_head)
            writer.add_layer_norm_eps(shape.layer_norm_epsilon)
            _add_vocabulary(writer, gguf.TokenType, tokenizer, shape.vocab_size)
            for key, tensor in state.items():
                writer.add_tensor(_tensor_name(key), _as_linear(key, tensor).numpy())
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            flush_to_disk(part)
            part.replace(path)
            flush_to_disk(path.parent)
        finally:
            part.unlink(missing_ok=True)
        return path.stat().st_size


def _tensor_name(key: str) -> str:
    owner, _, leaf = key.rpartition(".")
    if owner in _WHOLE:
        return f"{_WHOLE[owner]}.{leaf}"
    _, block, inner = owner.split(".", 2)
    return f"blk.{block}.{_NAMES[inner]}.{leaf}"


def _as_linear(key: str, tensor: Tensor) -> Tensor:
    """A weight in the layout of nn.Linear, (out, in); the blocks' matrices are (in, out)."""
    transpose = key.startswith("h.") and tensor.dim() == 2
    return (tensor.t() if transpose else tensor).detach().to(torch.float32).contiguous()


def _add_vocabulary(writer: Any, kinds: Any, tokenizer: Tokenizer, rows: int) -> None:
    """Tokens by id with their kinds, merges, special ids; rows without a token are unused."""
    v = tokenizer.vocabulary
    tokens = [f"[PAD{id}]" for id in range(rows)]
    types = [kinds.UNUSED] * rows
    for text, id in v.vocab.items():
        tokens[id], types[id] = text, kinds.NORMAL
    for added in v.special.added:
        tokens[added.id] = added.content
        types[added.id] = kinds.CONTROL if added.special else kinds.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{left} {right}" for left, right in v.merges])
    writer.add_eos_token_id(tokenizer.eot)
    writer.add_bos_token_id(tokenizer.default_ids["bos_token_id"])
    for role in ("unk", "pad"):
        if (token := v.special.roles.get(f"{role}_token")) is not None:
            getattr(writer, f"add_{role}_token_id")(v.ids_of_tokens[token])
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
