"""Checkpoints from the Hugging Face hub: the cache first, then the network, never a long wait."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from shakegpt.checkpoint.snapshot import drop_damaged
from shakegpt.errors import ShakegptError
from shakegpt.sanitize import sentence
from shakegpt.timeouts import NETWORK_TIMEOUT, call_with_timeout

HUB_NAMES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
"""Short names and where they live; `owner/name` works for every other GPT-2."""

_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json", "vocab.json", "merges.txt"]


def fetch(name: str) -> Path:
    """The directory with the checkpoint `name` of the hub, fetched if it is not in the cache.

    Raises ShakegptError within about 5 seconds when the hub is out of reach.
    """
    repository = HUB_NAMES.get(name, name)
    cached = in_cache(name)
    return cached if cached is not None else _download(name, repository)


def in_cache(name: str) -> Path | None:
    """The cached directory of a hub name when it is complete, else None; no network is touched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            HUB_NAMES.get(name, name), allow_patterns=_FILES, local_files_only=True
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    complete = all((Path(folder) / f).exists() for f in ("config.json", "vocab.json", "merges.txt"))
    return Path(folder) if complete and any(Path(folder).glob("*.safetensors")) else None


def _download(name: str, repository: str) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise _out_of_reach(name, "HF_HUB_OFFLINE is set")
    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:  # six tries of it for one that falls silent
        constants.HF_HUB_DOWNLOAD_TIMEOUT = round(NETWORK_TIMEOUT)
    try:
        call_with_timeout(lambda: HfApi().model_info(repository, timeout=NETWORK_TIMEOUT))
        print(f"fetching {repository} from the hub, once", file=sys.stderr)
        folder = snapshot_download(repository, allow_patterns=_FILES, etag_timeout=NETWORK_TIMEOUT)
    except (RepositoryNotFoundError, HFValidationError):
        raise ShakegptError(f"the hub has no model {name!r}: look its name up there") from None
    except Exception as error:  # of the client, or of whichever library carries it
        raise _out_of_reach(name, sentence(str(error), 100)) from error
    if damaged := drop_damaged(Path(folder)):
        raise ShakegptError(
            f"{damaged[0]} of {name} came with another sha256 than the hub tells: it is not kept; "
            "try again, or use --init-from pocket"
        )
    return Path(folder)


def _out_of_reach(name: str, reason: str) -> ShakegptError:
    because = f" ({reason})" if reason else ""
    return ShakegptError(
        f"{name} is not in the cache and the hub is out of reach{because}: use --init-from pocket, "
        "which ships with shakegpt, or a checkpoint directory; with a network, try again"
    )
