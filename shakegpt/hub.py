"""Checkpoints from the Hugging Face hub: the cache first, then the network, never a long wait."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from shakegpt.errors import ShakegptError

HUB_NAMES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
}
"""Short names and where they live; `owner/name` works for every other GPT-2."""

_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json", "vocab.json", "merges.txt"]
_PATIENCE = 3.0
"""Seconds until a hub that does not answer counts as out of reach."""


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
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        raise _out_of_reach(name, "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "")
    print(f"fetching {repository} from the hub, once", file=sys.stderr)
    try:
        return Path(snapshot_download(repository, allow_patterns=_FILES, etag_timeout=_PATIENCE))
    except (RepositoryNotFoundError, HFValidationError):
        raise ShakegptError(f"the hub has no model {name!r}: look its name up there") from None
    except (HfHubHTTPError, OSError) as error:
        raise _out_of_reach(name, str(error).splitlines()[0]) from error


def _reachable(endpoint: str) -> bool:
    """Whether the hub takes a connection at all: its client would retry for half a minute."""
    url = urlsplit(endpoint)
    if _proxied():
        return True
    try:
        port = url.port or (80 if url.scheme == "http" else 443)
        socket.create_connection((url.hostname or "", port), _PATIENCE).close()
    except OSError:
        return False
    return True


def _proxied() -> bool:
    from urllib.request import getproxies

    return bool({"https", "http", "all"} & set(getproxies()))


def _out_of_reach(name: str, reason: str) -> ShakegptError:
    because = f" ({reason})" if reason else ""
    return ShakegptError(
        f"{name} is not in the cache and the hub is out of reach{because}: use --init-from pocket, "
        "which ships with shakegpt, or a checkpoint directory; with a network, try again"
    )
