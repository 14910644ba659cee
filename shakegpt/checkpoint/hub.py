"""Checkpoints from the Hugging Face hub: from the cache, else the network with short timeouts."""

from __future__ import annotations

import errno
import os
import sys
from fnmatch import fnmatch
from pathlib import Path

from shakegpt.checkpoint.config_json import read_config
from shakegpt.checkpoint.snapshot import drop_damaged
from shakegpt.data.timeouts import NETWORK_TIMEOUT, call_with_timeout
from shakegpt.data.vocabulary import read_vocabulary
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import sentence

HUB_NAMES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
"""Short names of repositories; `owner/name` works for every other GPT-2."""

_SMALL = [
    *("config.json", "generation_config.json", "tokenizer.json", "vocab.json", "merges.txt"),
    *("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"),
    "chat_template.jinja",
]
_WEIGHTS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def fetch(name: str) -> Path:
    """The directory with the checkpoint `name` of the hub, downloaded if it is not in the cache.

    Raises ShakegptError: within about 5 seconds when the hub is unreachable, and before weights are
    downloaded when they or the vocabulary are not supported.
    """
    cached = in_cache(name)
    return cached if cached is not None else _download(name, _WEIGHTS)


def fetch_pickled(name: str) -> Path:
    """The directory of a repository with pytorch_model.bin, for `convert`."""
    return _download(name, _PICKLED)


def in_cache(name: str) -> Path | None:
    """The cached directory of a hub name when it is complete, else None; without network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                HUB_NAMES.get(name, name),
                allow_patterns=_SMALL + _WEIGHTS,
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    names = {path.name for path in folder.iterdir()}
    vocabulary = "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names
    weights = any(name.endswith(".safetensors") for name in names)
    return folder if "config.json" in names and vocabulary and weights else None


def _download(name: str, weights: list[str]) -> Path:
    """Download the small files, check them, then download the weights."""
    from huggingface_hub import HfApi, constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        raise _out_of_reach(name, "HF_HUB_OFFLINE is set")
    repository = HUB_NAMES.get(name, name)
    try:
        info = call_with_timeout(lambda: HfApi().model_info(repository, timeout=NETWORK_TIMEOUT))
        files = [sibling.rfilename for sibling in info.siblings or []]
        _require_weights(name, repository, files, weights)
        folder = Path(snapshot_download(repository, allow_patterns=_SMALL))
        _require_sums(name, folder)
        read_config(folder)
        read_vocabulary(folder)
        print(f"fetching {repository} from the hub, once", file=sys.stderr)
        snapshot_download(repository, revision=folder.name, allow_patterns=weights)
    except ShakegptError:
        raise
    except Exception as error:
        raise _download_error(name, error) from error
    _require_sums(name, folder)
    return folder


def _require_weights(name: str, repository: str, files: list[str], weights: list[str]) -> None:
    """Raise ShakegptError for a repository without `weights`, before anything is downloaded."""
    if any(fnmatch(file, pattern) for file in files for pattern in weights):
        return
    if weights is _WEIGHTS and any(fnmatch(f, pattern) for f in files for pattern in _PICKLED):
        raise ShakegptError(
            f"{name} has no model.safetensors on the hub, only pytorch_model.bin, which may run "
            f"code when it is opened: `shakegpt convert {repository} DIR` fetches it and makes a "
            "safe checkpoint of it"
        )
    if "adapter_config.json" in files:
        raise ShakegptError(f"{name} is a PEFT adapter, not a model: merge it into its model first")
    raise ShakegptError(f"{name} has no {weights[0]} on the hub: give another model")


def _require_sums(name: str, folder: Path) -> None:
    if damaged := drop_damaged(folder):
        raise ShakegptError(
            f"{damaged[0]} of {name} does not have the sha256 that the hub lists: it was deleted; "
            "try again, or use --init-from pocket"
        )


def _download_error(name: str, error: Exception) -> ShakegptError:
    """The ShakegptError for an exception of a download."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    reason = sentence(str(error), 100)
    if isinstance(error, GatedRepoError):
        return ShakegptError(
            f"access to {name} must be granted first: accept its terms on its page on the hub, "
            "then log in with `hf auth login`"
        )
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        return ShakegptError(
            f"model {name!r} not found on the Hugging Face Hub: check the name; a private one "
            "needs `hf auth login`"
        )
    if isinstance(error, OSError) and error.errno in _DISK:
        return ShakegptError(
            f"cannot write {name} to the hub's cache in {constants.HF_HUB_CACHE}: "
            f"{os.strerror(error.errno)}; fix that, or set HF_HOME to another directory",
            exit_code=1,
        )
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _out_of_reach(name, f"status {error.response.status_code}")
    # of its HTTP client, an OSError, or a page that is not the hub's response
    if isinstance(error, (*HfHubHTTPError.__bases__, ValueError)):
        return _out_of_reach(name, reason)
    return ShakegptError(
        f"cannot fetch {name}: {type(error).__name__}: {reason}; use --init-from pocket or a "
        "checkpoint directory",
        exit_code=1,
    )


def _out_of_reach(name: str, reason: str) -> ShakegptError:
    because = f" ({reason})" if reason else ""
    return ShakegptError(
        f"{name} is not in the cache and the hub is out of reach{because}: use --init-from pocket, "
        "which ships with shakegpt, or a checkpoint directory; with a network, try again"
    )
