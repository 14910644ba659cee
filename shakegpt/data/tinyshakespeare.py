"""tinyshakespeare: the 1.1 MB of plays that nanoGPT trains on, fetched once and then cached."""

from __future__ import annotations

import hashlib
import sys

from shakegpt.data.cache import cache_dir, write_cache
from shakegpt.data.timeouts import NETWORK_TIMEOUT, call_with_timeout
from shakegpt.errors import ShakegptError

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SIZE = 1_115_394
"""Bytes."""


def tinyshakespeare() -> str:
    """The text, from the cache or the network, verified by its sha256.

    Raises ShakegptError when it is available from neither.
    """
    cached = cache_dir() / "tinyshakespeare.txt"
    if cached.is_file() and _is_intact(data := cached.read_bytes()):
        return data.decode("utf-8")
    data = _fetch()
    write_cache(cached, data)
    return data.decode("utf-8")


def _is_intact(data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == SHA256


def _fetch() -> bytes:
    import urllib.request

    try:
        with call_with_timeout(
            lambda: urllib.request.urlopen(URL, timeout=NETWORK_TIMEOUT)
        ) as answer:
            print("fetching tinyshakespeare (1.1 MB), once", file=sys.stderr)
            data: bytes = answer.read(SIZE + 1)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ShakegptError(
            f"tinyshakespeare is not in the cache and cannot be fetched ({reason}): use --dataset "
            f"plays, which needs no network, or put the file at {cache_dir()}/tinyshakespeare.txt"
        ) from error
    if not _is_intact(data):
        raise ShakegptError(
            f"what came from {URL} is not tinyshakespeare ({len(data):,} bytes with another "
            "sha256): try again, or use --dataset plays, which needs no network"
        )
    return data
