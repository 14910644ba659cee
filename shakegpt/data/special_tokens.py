"""The special and added tokens of a vocabulary, with the ids that transformers gives them.

transformers 4 and 5 keep them in tokenizer.json, added_tokens.json, special_tokens_map.json and
tokenizer_config.json, in turns; what one of these files says must not contradict another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shakegpt.data.bpe import read_object, some
from shakegpt.errors import ShakegptError

END_OF_TEXT = "<|endoftext|>"
"""The text that GPT-2 puts between documents, one token."""
ROLES = ("bos_token", "eos_token", "unk_token")
"""The roles that GPT2Tokenizer gives to <|endoftext|> when no file names another token."""


@dataclass(frozen=True)
class AddedToken:
    """A token that is recognized in a text before anything else; fields as in tokenizer.json."""

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
    """What tokenizer.json (`whole`), tokenizer_config.json (`config`) and the files beside say.

    Raises ShakegptError where they contradict each other or name an option that changes ids.
    """
    _require_usual(folder, config, model_config, whole is not None, warnings)
    table = read_object(folder, "special_tokens_map.json") or {}
    decoder = config.get("added_tokens_decoder")
    named = dict(config) if isinstance(decoder, dict) else dict(config) | table
    others = named.get("extra_special_tokens") or named.get("additional_special_tokens") or []
    roles = {key: value for key, value in named.items() if key.endswith("_token")}
    for mapping in (others, named.get("model_specific_special_tokens")):
        roles |= mapping if isinstance(mapping, dict) else {}
    roles = {key: value for key, value in roles.items() if not isinstance(value, bool)}
    given = {key: v if v is None else _content(folder, v) for key, v in roles.items()}
    extra = [_content(folder, token) for token in others] if isinstance(others, list) else []
    extra += [token for key, token in given.items() if token and not key.endswith("_token")]

    tokens = dict[str, AddedToken]()
    for id, token in (decoder if isinstance(decoder, dict) else {}).items():
        _take(folder, tokens, _content(folder, token), int(id) if id.isdecimal() else id, token)
    for token in (whole or {}).get("added_tokens") or []:
        _take(folder, tokens, _content(folder, token), token.get("id"), token)
    special = {*extra, *given.values()}
    for content, id in (read_object(folder, "added_tokens.json") or {}).items():
        flags = {"special": content in special, "normalized": content not in special}
        _take(folder, tokens, content, id, flags)

    kind = config.get("tokenizer_class") or model_config.get("tokenizer_class")
    by_default = (kind is None or str(kind).startswith("GPT2")) and (
        END_OF_TEXT in vocab or END_OF_TEXT in tokens
    )
    default = END_OF_TEXT if by_default else None
    names: dict[str, str | None] = dict.fromkeys(ROLES, default)
    names |= {key: token for key, token in given.items() if key.endswith("_token")}
    names = {key: token for key, token in names.items() if token is not None or key in ROLES}
    described = {
        _content(folder, token): token
        for token in [*roles.values(), *(others if isinstance(others, list) else [])]
        if isinstance(token, dict)
    }
    following = max(len(vocab), *(token.id + 1 for token in tokens.values()), 0)
    for name in [*names.values(), *extra]:
        if name is not None and name not in tokens:
            flags = {"normalized": False, **described.get(name, {}), "special": True}
            _take(folder, tokens, name, vocab.get(name, following), flags)
            following += name not in vocab
    ignored = [_content(folder, t) for key, t in table.items() if key.endswith("_token") and t]
    if lost := [token for token in ignored if token not in tokens]:
        warnings.append(f"special_tokens_map.json names {some(lost)}: ignored")
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


def _require_usual(
    folder: Path,
    config: Mapping[str, Any],
    model_config: Mapping[str, Any],
    whole: bool,
    warnings: list[str],
) -> None:
    """Refuse the options of tokenizer_config.json that give a text other ids."""
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
        warnings.append(f"tokenizer_config.json: {some(unused)} has no effect with tokenizer.json")
    unknown = [key for key in config if key not in _KNOWN_OPTIONS and not key.endswith("_token")]
    if unknown:
        warnings.append(f"tokenizer_config.json: unknown option {some(unknown)} ignored")


def _content(folder: Path, token: object) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str) or not content:
        raise ShakegptError(f"{folder} has the special token {token!r}, which is not a string")
    return content


def _take(
    folder: Path, tokens: dict[str, AddedToken], content: str, id: object, flags: object
) -> None:
    """Add a token to those that are known. Raises ShakegptError for another id than before."""
    known = tokens.get(content)
    if type(id) is not int or (known is not None and known.id != id):
        before = f"{known.id} and " if known is not None else ""
        raise ShakegptError(f"{folder} gives the added token {content!r} the id {before}{id!r}")
    if known is None:
        given = flags if isinstance(flags, dict) else {}
        special = bool(given.get("special", False))
        tokens[content] = AddedToken(
            content,
            id,
            single_word=bool(given.get("single_word", False)),
            lstrip=bool(given.get("lstrip", False)),
            rstrip=bool(given.get("rstrip", False)),
            normalized=bool(given.get("normalized", not special)),
            special=special,
        )


def _in_order(
    folder: Path, tokens: Mapping[str, AddedToken], vocab: Mapping[str, int]
) -> tuple[AddedToken, ...]:
    """By id, which must be the vocabulary's, or follow on it without a gap, as they are loaded."""
    added = sorted(tokens.values(), key=lambda token: token.id)
    following = len(vocab)
    for token in added:
        right = vocab.get(token.content, following)
        if token.id != right:
            raise ShakegptError(
                f"{folder} gives the added token {token.content!r} the id {token.id}, where "
                f"transformers would assign {right}: save the tokenizer again with transformers"
            )
        following += token.content not in vocab
    return tuple(added)
