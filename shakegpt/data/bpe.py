"""Read a byte-level BPE, tokens and merges, from either form of its files.

A normalizer, another pre-tokenizer or another kind of model would give a text other ids than
GPT-2's rules do, and could lose part of it: those are refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shakegpt.errors import ShakegptError
from shakegpt.files import read_text
from shakegpt.format import listing

BPE = tuple[dict[str, int], list[tuple[str, str]]]
"""Token -> id, 0 to n - 1, with printable characters for bytes; and the merges in order."""


def read_object(folder: Path, name: str) -> dict[str, Any] | None:
    """The JSON object in a file of `folder`, None without that file. Raises ShakegptError."""
    path = folder / name
    try:
        raw = json.loads(read_text(folder, name))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ShakegptError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise ShakegptError(f"{path} is not a JSON object")
    return raw


def vocab_and_merges(folder: Path, required: bool) -> BPE | None:
    """The BPE in vocab.json and merges.txt; None if either is missing and not `required`."""
    paths = (folder / "vocab.json", folder / "merges.txt")
    exist = [path.exists() for path in paths]
    if not all(exist) and not required:
        return None
    if not any(exist):
        raise ShakegptError(_no_vocabulary(folder))
    try:
        vocab = json.loads(read_text(folder, "vocab.json"), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise ShakegptError(f"{paths[0]} cannot be read as a vocabulary: {error}") from error
    try:
        lines = read_text(folder, "merges.txt").split("\n")
    except (OSError, ValueError) as error:
        raise ShakegptError(f"{paths[1]} cannot be read as merges: {error}") from error
    lines = [line.removesuffix("\r") for line in lines]
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return _checked(*paths, vocab, pairs)


def _no_vocabulary(folder: Path) -> str:
    """Error message for a directory without a supported vocabulary file."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    models = [name for name in names if name.endswith((".model", ".spm"))]
    if "vocab.txt" in names:
        return (
            f"{folder} has a WordPiece vocabulary (vocab.txt), as BERT does; only GPT-2's "
            "byte-level BPE is supported"
        )
    if models:
        return (
            f"{folder} has a SentencePiece vocabulary ({models[0]}); only GPT-2's byte-level BPE "
            "is supported"
        )
    if {"encoder.json", "vocab.bpe"} <= set(names):
        return (
            f"{folder} has OpenAI's file names: rename encoder.json to vocab.json and vocab.bpe to "
            "merges.txt"
        )
    beside = folder.resolve().parent
    hint = "the tokenizer must be saved with the model"
    if any((beside / name).exists() for name in ("tokenizer.json", "vocab.json")):
        hint = f"copy the tokenizer files from {beside}"
    return f"{folder} has no tokenizer.json, and no vocab.json with merges.txt: {hint}"


def _each_once(pairs: list[tuple[str, int]]) -> dict[str, int]:
    tokens = dict(pairs)
    if len(tokens) < len(pairs):
        raise ValueError(f"{len(pairs) - len(tokens)} tokens are listed twice")
    return tokens


def _checked(vocab_path: Path, merges_path: Path, vocab: object, merges: list[list[str]]) -> BPE:
    """`vocab` and `merges` when they fit each other. Raises ShakegptError."""
    ids = list(vocab.values()) if isinstance(vocab, dict) else []
    if not ids or not all(type(i) is int for i in ids) or sorted(ids) != list(range(len(ids))):
        raise ShakegptError(f"{vocab_path} is invalid: its ids must be 0, 1, 2, … each once")
    assert isinstance(vocab, dict)
    if suffixed := next((token for token in vocab if token.endswith("</w>")), None):
        raise ShakegptError(
            f"{vocab_path} marks ends of words ({suffixed!r}), as GPT-1 does; only GPT-2's "
            "byte-level BPE is supported"
        )
    for pair in merges:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= vocab.keys():
            raise ShakegptError(
                f"{merges_path} does not fit {vocab_path.name}: it merges {' '.join(pair)!r}, "
                "which the vocabulary lacks; take both from one checkpoint"
            )
    return vocab, [(left, right) for left, right in merges]


def model_of(path: Path, raw: Mapping[str, Any]) -> BPE:
    """Vocabulary and merges of a tokenizer.json. Raises ShakegptError unless it is GPT-2's kind."""

    def unsupported(part: str, name: object) -> ShakegptError:
        return ShakegptError(
            f"{path} has the {part} {name}, which GPT-2's byte-level BPE does not have: models "
            "with it are not supported"
        )

    model = raw.get("model")
    if not isinstance(model, dict):
        raise ShakegptError(f"{path} has no model: it is not a tokenizer of `tokenizers`")
    kind = model.get("type", "BPE" if "merges" in model else "WordPiece or Unigram")
    if kind != "BPE":
        raise unsupported("model", kind)
    # unknown tokens do not occur: each byte is a token
    without_effect = ("type", "vocab", "merges", "unk_token", "fuse_unk")
    for option, value in model.items():
        if value and option not in without_effect:
            raise unsupported("option", f"{option} {value!r}")
    for step in _steps(raw.get("normalizer"), "normalizers"):
        raise unsupported("normalizer", step.get("type"))
    pre_tokenizer = _steps(raw.get("pre_tokenizer"), "pretokenizers")
    if not _is_byte_level(pre_tokenizer):
        names = [
            str(step.get("type")) + " (add_prefix_space)" * bool(step.get("add_prefix_space"))
            for step in pre_tokenizer
        ]
        raise unsupported("pre-tokenizer", ", ".join(names) or "none")
    if (decoder := raw.get("decoder")) is not None and decoder.get("type") != "ByteLevel":
        raise unsupported("decoder", decoder.get("type"))
    for step in _steps(raw.get("post_processor"), "processors"):
        kind = step.get("type")
        if step.get("special_tokens") or kind not in ("ByteLevel", "TemplateProcessing"):
            raise unsupported("post-processor", f"{kind}, which adds tokens to each text")
    merges = [m.split(" ") if isinstance(m, str) else m for m in model.get("merges") or []]
    if not all(isinstance(m, list) and all(isinstance(t, str) for t in m) for m in merges):
        raise ShakegptError(f"{path} has merges that are not pairs of tokens")
    return _checked(path, path, model.get("vocab"), merges)


def _steps(part: Any, inside: str) -> list[dict[str, Any]]:
    """The steps of a part of tokenizer.json: one step, a Sequence, or none."""
    if not isinstance(part, dict):
        return []
    if part.get("type") == "Sequence":
        return [step for each in part.get(inside) or [] for step in _steps(each, inside)]
    return [part]


PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's pre-tokenizer, from its released encoder: tokens lie within its matches."""
_SAME_PATTERN = (PATTERN, PATTERN.replace("'(?:[sdmt]|ll|ve|re)", "'s|'t|'re|'ve|'m|'ll|'d"))


def _is_byte_level(steps: list[dict[str, Any]]) -> bool:
    """GPT-2's pre-tokenizer, in one step or in two: split by its pattern, then bytes."""
    if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return False
    if len(steps) == 1:
        return bool(steps[0].get("use_regex", True))
    split = steps[0]
    return (
        len(steps) == 2
        and split.get("type") == "Split"
        and split.get("behavior") == "Isolated"
        and not split.get("invert")
        and (split.get("pattern") or {}).get("Regex") in _SAME_PATTERN
    )


def is_canonical(vocab: Mapping[str, int], merges: list[tuple[str, str]]) -> bool:
    """Whether merging any pair that spells a token, lowest id first, gives the same as `merges`.

    That is how tiktoken encodes. It holds for trained BPE: ids follow the merges, and each token on
    its own is merged from its own pair. To check the latter by induction, no lower merge may cross
    the boundary of the pair: a suffix u of the left part and a prefix v of the right one would have
    to merge, both made before uv and neither merged further before.
    """
    made, ranks = dict[str, tuple[str, str]](), {token: vocab[token] for token in vocab}
    known = {token: -1 for token in vocab if len(token) == 1}
    last = -1
    for left, right in merges:
        token = left + right
        rank = ranks[token]
        if rank <= last or token in known or left not in known or right not in known:
            return False
        last = rank
        u, u_until = left, rank
        while True:
            v, v_until = right, rank
            while True:
                meets = known.get(u + v, rank)
                both_exist = max(known[u], known[v])
                if both_exist < meets < u_until and meets <= v_until and meets < rank:
                    return False
                if v not in made:
                    break
                v, v_until = made[v][0], known[v]
            if u not in made:
                break
            u, u_until = made[u][1], known[u]
        known[token], made[token] = rank, (left, right)
    return True


def quoted(names: list[str]) -> str:
    """The first three names in quotation marks, and the number of the others."""
    return listing(list(map(repr, names)))
