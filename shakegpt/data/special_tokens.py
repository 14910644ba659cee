"""The special and added tokens of a vocabulary, with the ids that transformers assigns.

Depending on its version, transformers stores them in tokenizer.json, added_tokens.json,
special_tokens_map.json and tokenizer_config.json; these must not contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shakegpt.data.bpe import quoted, read_object
from shakegpt.errors import ShakegptError

END_OF_TEXT = "<|endoftext|>"
"""GPT-2's mark between documents, one token."""
ROLES = ("bos_token", "eos_token", "unk_token")
"""The roles of <|endoftext|> in GPT2Tokenizer unless a file names another token."""


@dataclass(frozen=True)
class AddedToken:
    """A token that is matched in a text before all others; fields as in tokenizer.json."""

    content: str
    id: int
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True


@dataclass(frozen=True)
class SpecialTokens:
    """The added tokens by id, the tokens that have a role, and the special ones without."""

    added: tuple[AddedToken, ...]
    roles: dict[str, str | None]
    extra: tuple[str, ...]


def read_special_tokens(
    folder: Path,
    whole: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    model_config: Mapping[str, Any],
    vocab: Mapping[str, int],
    warnings: list[str],
) -> SpecialTokens:
    """The tokens of tokenizer.json (`whole`), tokenizer_config.json (`config`) and other files.

    Raises ShakegptError where they contradict each other or have an option that changes ids.
    """
    _require_supported(folder, config, model_config, whole is not None, warnings)
    table = read_object(folder, "special_tokens_map.json") or {}
    decoder = config.get("added_tokens_decoder")
    options = dict(config) if isinstance(decoder, dict) else dict(config) | table
    more = options.get("extra_special_tokens") or options.get("additional_special_tokens") or []
    roles = {key: value for key, value in options.items() if key.endswith("_token")}
    for mapping in (more, options.get("model_specific_special_tokens")):
        roles |= mapping if isinstance(mapping, dict) else {}
    roles = {key: value for key, value in roles.items() if not isinstance(value, bool)}
    contents = {key: v if v is None else _content(folder, v) for key, v in roles.items()}
    extra = [_content(folder, token) for token in more] if isinstance(more, list) else []
    extra += [token for key, token in contents.items() if token and not key.endswith("_token")]

    tokens = dict[str, AddedToken]()
    for id, token in (decoder if isinstance(decoder, dict) else {}).items():
        _add(folder, tokens, _content(folder, token), int(id) if id.isdecimal() else id, token)
    for token in (whole or {}).get("added_tokens") or []:
        _add(folder, tokens, _content(folder, token), token.get("id"), token)
    special = {*extra, *contents.values()}
    for content, id in (read_object(folder, "added_tokens.json") or {}).items():
        flags = {"special": content in special, "normalized": content not in special}
        _add(folder, tokens, content, id, flags)

    kind = config.get("tokenizer_class") or model_config.get("tokenizer_class")
    by_default = (kind is None or str(kind).startswith("GPT2")) and (
        END_OF_TEXT in vocab or END_OF_TEXT in tokens
    )
    default = END_OF_TEXT if by_default else None
    names: dict[str, str | None] = dict.fromkeys(ROLES, default)
    names |= {key: token for key, token in contents.items() if key.endswith("_token")}
    names = {key: token for key, token in names.items() if token is not None or key in ROLES}
    described = {
        _content(folder, token): token
        for token in [*roles.values(), *(more if isinstance(more, list) else [])]
        if isinstance(token, dict)
    }
    next_id = max(len(vocab), *(token.id + 1 for token in tokens.values()), 0)
    for name in [*names.values(), *extra]:
        if name is not None and name not in tokens:
            flags = {"normalized": False, **described.get(name, {}), "special": True}
            _add(folder, tokens, name, vocab.get(name, next_id), flags)
            next_id += name not in vocab
    mapped = [_content(folder, t) for key, t in table.items() if key.endswith("_token") and t]
    if ignored := [token for token in mapped if token not in tokens]:
        warnings.append(f"special_tokens_map.json names {quoted(ignored)}: ignored")
    return SpecialTokens(_in_order(folder, tokens, vocab), names, tuple(dict.fromkeys(extra)))


_CLASSES = ("GPT2Tokenizer", "PreTrainedTokenizer", "TokenizersBackend")
_KNOWN_OPTIONS = {
    "add_prefix_space", "add_bos_token", "add_eos_token", "added_tokens_decoder",
    "additional_special_tokens", "extra_special_tokens", "auto_map", "backend", "chat_template",
    "clean_up_tokenization_spaces", "do_lower_case", "errors", "full_tokenizer_file", "is_local",
    "legacy", "local_files_only", "max_len", "max_length", "model_input_names", "model_max_length",
    "model_specific_special_tokens", "name_or_path", "pad_to_multiple_of", "pad_token_type_id",
    "padding_side", "processor_class", "special_tokens_map_file", "split_special_tokens", "stride",
    "tokenizer_class", "tokenizer_file", "trim_offsets", "truncation_side", "truncation_strategy",
    "use_fast", "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id",
    "init_inputs", "verbose", "return_token_type_ids",
}  # fmt: skip


def _require_supported(
    folder: Path,
    config: Mapping[str, Any],
    model_config: Mapping[str, Any],
    whole: bool,
    warnings: list[str],
) -> None:
    """Raise ShakegptError for options of tokenizer_config.json that change ids."""
    kind = config.get("tokenizer_class") or model_config.get("tokenizer_class")
    if kind is not None and str(kind).removesuffix("Fast") not in _CLASSES:
        raise ShakegptError(
            f"{folder} has a tokenizer of class {kind}: only GPT2Tokenizer, GPT-2's byte-level "
            "BPE, is supported"
        )
    changing = ["add_prefix_space", "do_lower_case", "split_special_tokens", "auto_map"]
    adding = ["add_bos_token", "add_eos_token"]
    for option in changing if whole else changing + adding:
        if config.get(option):
            raise ShakegptError(
                f"{folder}/tokenizer_config.json sets {option} to {config[option]!r}, which GPT-2 "
                "does not: tokenizers with it are not supported"
            )
    if unused := [option for option in adding if config.get(option)]:
        names = quoted(unused)
        warnings.append(f"tokenizer_config.json: {names} has no effect with tokenizer.json")
    unknown = [key for key in config if key not in _KNOWN_OPTIONS and not key.endswith("_token")]
    if unknown:
        warnings.append(f"tokenizer_config.json: unknown option {quoted(unknown)} ignored")


def _content(folder: Path, token: object) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str) or not content:
        raise ShakegptError(f"{folder} has the special token {token!r}, which is not a string")
    return content


def _add(
    folder: Path, tokens: dict[str, AddedToken], content: str, id: object, flags: object
) -> None:
    """Add a token to `tokens`. Raises ShakegptError for one that has another id there."""
    known = tokens.get(content)
    if type(id) is not int or (known is not None and known.id != id):
        before = f"{known.id} and " if known is not None else ""
        raise ShakegptError(f"{folder} gives the added token {content!r} the id {before}{id!r}")
    if known is None:
        flags = flags if isinstance(flags, dict) else {}
        special = bool(flags.get("special"))
        options = {name: bool(flags.get(name)) for name in ("single_word", "lstrip", "rstrip")}
        normalized = bool(flags.get("normalized", not special))
        tokens[content] = AddedToken(content, id, **options, normalized=normalized, special=special)


def _in_order(
    folder: Path, tokens: Mapping[str, AddedToken], vocab: Mapping[str, int]
) -> tuple[AddedToken, ...]:
    """Sorted by id, which must be the vocabulary's or follow it without a gap, as transformers
    loads them.
    """
    added = sorted(tokens.values(), key=lambda token: token.id)
    next_id = len(vocab)
    for token in added:
        expected = vocab.get(token.content, next_id)
        if token.id != expected:
            raise ShakegptError(
                f"{folder} gives the added token {token.content!r} the id {token.id}, where "
                f"transformers would assign {expected}: save the tokenizer again with transformers"
            )
        next_id += token.content not in vocab
    return tuple(added)
