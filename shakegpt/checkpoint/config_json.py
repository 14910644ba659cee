"""Read the shape of a GPT-2 from config.json, as any version of transformers wrote it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shakegpt.checkpoint.hints import no_config
from shakegpt.config import GPTConfig
from shakegpt.data.bpe import quoted, read_object
from shakegpt.errors import ShakegptError

LARGEST = {"n_layer": 1000, "vocab_size": 1_000_000}
"""Largest valid sizes in a config.json; larger ones are errors before anything is allocated."""
LARGEST_ELSE = 100_000


def read_config(folder: Path) -> GPTConfig:
    """The shape of the checkpoint in `folder`, checked before any memory is allocated.

    Raises ShakegptError for a directory that is no checkpoint of a supported GPT-2.
    """
    raw = read_json(folder / "config.json")
    path = folder / "config.json"
    kind = raw.get("model_type")
    if kind != "gpt2" and (kind is not None or not {"n_embd", "n_layer", "n_head"} <= raw.keys()):
        raise ShakegptError(f"{folder} holds a {kind!r} model: give a GPT-2")
    for key, supported in _SUPPORTED.items():
        if raw.get(key, supported[0]) not in supported:
            raise ShakegptError(
                f"{path} has {key} {raw[key]!r}: only {supported[0]!r} is supported"
            )
    architectures = raw.get("architectures") or []
    for name in architectures if isinstance(architectures, list) else [architectures]:
        if name not in _ARCHITECTURES:
            raise ShakegptError(f"{path} has the architecture {name!r}: only GPT-2 is supported")
    sizes = raw if "n_positions" in raw else {**raw, "n_positions": raw.get("n_ctx")}
    shape = {name: _size(folder, sizes, key) for name, key in _SHAPE.items()}
    if raw.get("n_inner") not in (None, 4 * shape["n_embd"]):
        raise ShakegptError(f"{path} has n_inner {raw['n_inner']}, not 4 x n_embd")
    if shape["n_embd"] % shape["n_head"]:
        raise ShakegptError(
            f"{path}: n_embd {shape['n_embd']} is not a multiple of n_head {shape['n_head']}"
        )
    epsilon = raw.get("layer_norm_epsilon", 1e-5)
    if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
        raise ShakegptError(f"{path} has layer_norm_epsilon {epsilon!r}: GPT-2's is 1e-5")
    tied = raw.get("tie_word_embeddings", True)
    if not isinstance(tied, bool):
        raise ShakegptError(f"{path} has tie_word_embeddings {tied!r}: give true or false")
    return GPTConfig(
        **shape,
        layer_norm_epsilon=float(epsilon),
        activation_function="gelu" if raw.get("activation_function") in _EXACT else "gelu_new",
        tie_word_embeddings=tied,
    )


def config_warnings(folder: Path) -> list[str]:
    """Sentences on fields of config.json that have no effect, or are unknown."""
    raw = read_json(folder / "config.json")
    warnings = []
    for name in raw.get("architectures") or []:
        if "For" in name:
            warnings.append(f"config.json says {name}: its language model is used, not its head")
    unknown = [key for key in raw if key not in _KNOWN and key not in _SUPPORTED]
    if unknown:
        warnings.append(f"config.json: unknown field {quoted(unknown)} ignored")
    if raw.get("n_ctx", raw.get("n_positions")) != raw.get("n_positions", raw.get("n_ctx")):
        warnings.append(f"config.json has n_ctx {raw['n_ctx']}: n_positions is used")
    return warnings


_SHAPE = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "block_size": "n_positions",
    "vocab_size": "vocab_size",
}
_ARCHITECTURES = {
    f"{library}{name}"
    for library in ("", "TF", "Flax")
    for name in (
        "GPT2Model", "GPT2LMHeadModel", "GPT2DoubleHeadsModel", "GPT2ForSequenceClassification",
        "GPT2ForTokenClassification", "GPT2ForQuestionAnswering",
    )
}  # fmt: skip
_EXACT = ("gelu", "gelu_python")
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    # the tanh form, in several orders of operation, and the exact one
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", *_EXACT),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "auto_map": (None, {}),
}
_KNOWN = {
    *_SHAPE.values(), "n_ctx", "n_inner", "layer_norm_epsilon", "model_type", "architectures",
    "attn_pdrop", "embd_pdrop", "resid_pdrop", "initializer_range", "summary_type",
    "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
    "summary_hidden_size", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id",
    "sep_token_id", "decoder_start_token_id", "cls_token_id", "mask_token_id", "unk_token_id",
    "dtype", "torch_dtype", "transformers_version", "_name_or_path", "_commit_hash", "name_or_path",
    "_attn_implementation_autoset", "attn_implementation", "_attn_implementation",
    "gradient_checkpointing",
    "output_attentions", "output_hidden_states", "output_past", "return_dict", "torchscript",
    "use_bfloat16", "num_labels", "id2label", "label2id", "problem_type", "finetuning_task",
    "task_specific_params", "predict_special_tokens", "chunk_size_feed_forward", "is_decoder",
    "tie_word_embeddings", "tie_encoder_decoder",
    "cross_attention_hidden_size", "prefix", "tokenizer_class",
    "remove_invalid_values", "tf_legacy_loss", "loss_type", "vocab_size_or_config_json_file",
    # settings of generation, which config.json had before generation_config.json
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
    "num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id",
    "forced_eos_token_id", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens",
}  # fmt: skip


def _size(folder: Path, raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    if type(value) is not int or not 1 <= value <= LARGEST.get(key, LARGEST_ELSE):
        raise ShakegptError(f"{folder}/config.json has an invalid {key} {value!r}")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint. Raises ShakegptError when there is none."""
    raw = read_object(path.parent, path.name)
    if raw is None:
        raise ShakegptError(
            no_config(path.parent) if path.name == "config.json" else f"{path} does not exist"
        )
    return raw
