"""Checkpoints from the Hugging Face hub: the cache first, then the network, never a long wait."""

from __future__ import annotations

import queue
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

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
PATIENCE = 2.0
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

    if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
        raise _out_of_reach(name, "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "")
    print(f"fetching {repository} from the hub, once", file=sys.stderr)
    try:
        return Path(snapshot_download(repository, allow_patterns=_FILES, etag_timeout=PATIENCE))
    except (RepositoryNotFoundError, HFValidationError):
        raise ShakegptError(f"the hub has no model {name!r}: look its name up there") from None
    except (HfHubHTTPError, OSError) as error:
        raise _out_of_reach(name, str(error).splitlines()[0]) from error


def reachable(address: str) -> bool:
    """Whether the server of `address` takes a connection within `PATIENCE` seconds.

    Clients of the hub retry for half a minute, and looking up a name has no timeout of its own: so
    a thread tries it, and is left behind when it takes too long. Behind a proxy the answer is yes.
    """
    if {"https", "http", "all"} & set(getproxies()):
        return True
    url, answers = urlsplit(address), queue.SimpleQueue[bool]()
    port = url.port or (80 if url.scheme == "http" else 443)

    def knock() -> None:
        try:
            socket.create_connection((url.hostname or "", port), PATIENCE).close()
        except OSError:
            answers.put(False)
        else:
            answers.put(True)

    threading.Thread(target=knock, daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE)
    except queue.Empty:
        return False


def _out_of_reach(name: str, reason: str) -> ShakegptError:
    because = f" ({reason})" if reason else ""
    return ShakegptError(
        f"{name} is not in the cache and the hub is out of reach{because}: use --init-from pocket, "
        "which ships with shakegpt, or a checkpoint directory; with a network, try again"
    )
