"""The vocabulary of a GPT-2 directory: tokenizer.json, or vocab.json and merges.txt.

Both forms, and the further files of transformers 4 and 5, are read into one `Vocabulary` with the
ids that transformers assigns. Everything is read at once: the files may vanish afterwards. Options
that would give a text other ids than GPT-2's rules are errors; those without effect are warnings.
"""

from __future__ import annotations

import hashlib
import json
from codecs import BOM_UTF8
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shakegpt.data import bpe
from shakegpt.data.bpe import read_object
from shakegpt.data.special_tokens import (
    END_OF_TEXT,
    ROLES,
    AddedToken,
    SpecialTokens,
    read_special_tokens,
)
from shakegpt.errors import ShakegptError


@dataclass(frozen=True)
class Vocabulary:
    """A byte-level BPE and its special tokens."""

    vocab: dict[str, int]
    """Token -> id, 0 to len(vocab) - 1; printable characters stand for bytes."""
    merges: list[tuple[str, str]]
    special: SpecialTokens
    ids: dict[str, Any]
    """The valid special token ids of config.json."""
    generation: dict[str, Any]
    """generation_config.json, or {}."""
    files: dict[str, bytes]
    """Contents of vocab.json, merges.txt and chat_template.jinja, where they exist."""
    chat_template: Any
    """From tokenizer_config.json."""
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of ids: 0 to size - 1."""
        return max(len(self.vocab), *(token.id + 1 for token in self.special.added), 0)

    @property
    def ids_of_tokens(self) -> dict[str, int]:
        """Token -> id, with added tokens."""
        return self.vocab | {token.content: token.id for token in self.special.added}

    @property
    def plain(self) -> bool:
        """Whether vocab.json and merges.txt suffice: no added token but GPT-2's own."""
        added = [replace(token, normalized=False) for token in self.special.added]
        end_of_text = AddedToken(END_OF_TEXT, self.vocab.get(END_OF_TEXT, -1))
        roles = dict.fromkeys(ROLES, END_OF_TEXT if added else None)
        special = self.special
        return added in ([], [end_of_text]) and special.roles == roles and not special.extra

    @property
    def fingerprint(self) -> str:
        """sha256, hex; vocabularies with the same one encode each text alike."""
        content = [self.vocab, self.merges, [asdict(token) for token in self.special.added]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a checkpoint directory. Raises ShakegptError if it is not GPT-2's kind."""
    warnings = list[str]()
    config = read_object(folder, "tokenizer_config.json") or {}
    model_config = read_object(folder, "config.json") or {}
    whole = read_object(folder, "tokenizer.json")
    pair = bpe.vocab_and_merges(folder, required=whole is None)
    if whole is None:
        assert pair is not None
        vocab, merges = pair
    else:
        vocab, merges = bpe.model_of(folder / "tokenizer.json", whole)
        if pair is not None and pair != (vocab, merges):
            different = sorted(set(pair[0].items()) ^ set(vocab.items()))
            part = f"the token {different[0][0]!r}" if different else "the merges"
            raise ShakegptError(
                f"{folder}: tokenizer.json disagrees about {part} with vocab.json and merges.txt; "
                "delete what is out of date"
            )
    special = read_special_tokens(folder, whole, config, model_config, vocab, warnings)
    reachable = {"".join(merge) for merge in merges} | {token.content for token in special.added}
    if unused := [token for token in vocab if len(token) > 1 and token not in reachable]:
        warnings.append(
            f"the vocabulary has {bpe.quoted(unused)}, which no merge makes and no file lists as "
            "an added token: texts are encoded without it, as in transformers"
        )
    files = {
        name: (folder / name).read_bytes().removeprefix(BOM_UTF8)
        for name in ("vocab.json", "merges.txt", "chat_template.jinja")
        if (folder / name).is_file()
    }
    generation = read_object(folder, "generation_config.json") or {}
    generation.pop("transformers_version", None)
    size = max(len(vocab), *(token.id + 1 for token in special.added), 0)
    ids = _valid_ids("config.json", model_config, size, warnings)
    valid = _valid_ids("generation_config.json", generation, size, warnings)
    generation = {k: v for k, v in generation.items() if k in valid or k not in _ID_KEYS}
    template = config.get("chat_template")
    return Vocabulary(vocab, merges, special, ids, generation, files, template, tuple(warnings))


_ID_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


def _valid_ids(name: str, config: dict[str, Any], size: int, warnings: list[str]) -> dict[str, Any]:
    """The special token ids of a configuration, without those that have no token."""
    ids = {key: config[key] for key in _ID_KEYS if config.get(key) is not None}
    for key, value in [*ids.items()]:
        each = value if isinstance(value, list) else [value]
        if not each or not all(type(id) is int and 0 <= id < size for id in each):
            del ids[key]
            warnings.append(f"{name} has {key} {value!r}, an id without a token: ignored")
    return ids


def vocabulary_files(v: Vocabulary) -> dict[str, bytes]:
    """vocab.json and merges.txt, and tokenizer.json if these do not suffice, by name."""
    files = dict(v.files)
    if not {"vocab.json", "merges.txt"} <= files.keys():
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in v.merges)]
        files["vocab.json"] = json.dumps(v.vocab, ensure_ascii=False).encode()
        files["merges.txt"] = "".join(f"{line}\n" for line in lines).encode()
    if not v.plain:
        files["tokenizer.json"] = json.dumps(_tokenizer_json(v), ensure_ascii=False).encode()
    return files


def _tokenizer_json(v: Vocabulary) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level |= {"use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [asdict(token) for token in v.special.added],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": v.vocab,
            "merges": [f"{left} {right}" for left, right in v.merges],
        },
    }


def tokenizer_config(v: Vocabulary, model_max_length: int) -> dict[str, Any]:
    """tokenizer_config.json of `v`, for transformers 4 and 5."""
    extra = v.special.extra
    more: dict[str, Any] = {"additional_special_tokens": list(extra)} if extra else {}
    if v.chat_template is not None:
        more["chat_template"] = v.chat_template
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "model_max_length": model_max_length,
        **v.special.roles,
        "add_prefix_space": False,
        **more,
    }
