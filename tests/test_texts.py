"""Where text comes from, and the sentence for each that is no text."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shakegpt.data import sources
from shakegpt.data.sources import load_text
from shakegpt.errors import ShakegptError


def file(folder: Path, name: str, data: bytes | str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    content = "ROMEO:\r\nÀ la carte 🎭\r\n\n\n"
    text = load_text([file(tmp_path, "a.txt", content)])
    assert (text.name, text.content) == ("a.txt", content)
    assert text.sha256 == hashlib.sha256(content.encode()).hexdigest()


def test_several_files_follow_each_other(tmp_path: Path) -> None:
    names = [file(tmp_path, n, f"{n}\n\n") for n in ("b.txt", "a.txt")]
    text = load_text(names)
    assert text.content == "b.txt\n\na.txt" and text.name == "b.txt a.txt"


def test_a_directory_gives_its_txt_files_in_order(tmp_path: Path) -> None:
    for name in ("z.txt", "a.txt", "deep/er/m.txt", "notes.md"):
        file(tmp_path, name, name)
    assert load_text([str(tmp_path)]).content == "a.txt\n\ndeep/er/m.txt\n\nz.txt"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("to be é".encode())))
    assert load_text(["-"]).content == "to be é"


@pytest.mark.parametrize("name", ["/dev/zero", "-"])
def test_a_device_without_end_is_refused_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/zero").open() as endless:
        monkeypatch.setattr("sys.stdin", endless)
        with pytest.raises(ShakegptError, match="binary"):
            load_text([name])


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert load_text([file(tmp_path, "a.txt", b"\xef\xbb\xbfhi")]).content == "hi"


BAD: dict[str, tuple[bytes, str]] = {
    "latin1": (b"caf\xe9 au lait", "byte 3 is 0xe9"),
    "after a mark": (b"\xef\xbb\xbfcaf\xe9 au", "byte 6 is 0xe9"),
    "cut in a character": ("caffé".encode()[:-1], "byte 4 is 0xc3"),
    "surrogates": (b"ab\xed\xa0\x80", "byte 2 is 0xed"),
    "binary": (b"\x7fELF\x02\x01\x00\x00", "binary (a zero byte at 6)"),
    "utf-16": ("hello".encode("utf-16"), "binary"),
    "empty": (b"", "is empty"),
    "blank": (b" \n\t\r\n ", "is empty"),
    "a mark alone": (b"\xef\xbb\xbf", "is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_text_is_told_with_its_byte(tmp_path: Path, name: str) -> None:
    data, words = BAD[name]
    path = file(tmp_path, "a.txt", data)
    with pytest.raises(ShakegptError) as refused:
        load_text([path])
    assert words in str(refused.value) and "a.txt" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.txt", "does not exist"),
        ("nothing/at/all", "does not exist"),
        ("x" * 5000, "cannot be read"),
        ("a.txt/b", "cannot be read"),
        ("empty", "holds no .txt file"),
    ],
)
def test_a_missing_text_is_told(
    tmp_path: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path, "a.txt", "x")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShakegptError, match=words):
        load_text([name])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    path = Path(file(tmp_path, "a.txt", "x"))
    path.chmod(0)
    with pytest.raises(ShakegptError, match="cannot be read"):
        load_text([str(path)])


def test_speakers_are_found(tmp_path: Path) -> None:
    content = "ROMEO:\nAy me.\n\nLady Capulet:\nWhat?\n\nNote: not\n\nROMEO:\nNothing.\n"
    text = load_text([file(tmp_path, "a.txt", content)])
    assert text.speakers == ("Lady Capulet", "ROMEO")
    assert load_text([file(tmp_path, "b.txt", "It was: nothing.\n")]).speakers == ()


@pytest.fixture
def served() -> Iterator[tuple[str, list[bytes]]]:
    """An address that answers with the last of some bytes, and those bytes."""
    answers = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/input.txt", answers
    server.shutdown()
    server.server_close()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHAKEGPT_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "cache"


def test_tinyshakespeare_is_fetched_once(
    served: tuple[str, list[bytes]], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, answers = served
    answers.append(b"First Citizen:\nBefore we proceed any further, hear me speak.\n")
    monkeypatch.setattr(sources, "TINYSHAKESPEARE", address)
    monkeypatch.setattr(sources, "TINYSHAKESPEARE_SHA256", hashlib.sha256(answers[-1]).hexdigest())
    text = load_text(["tinyshakespeare"])
    assert text.name == "tinyshakespeare" and text.speakers == ("First Citizen",)
    answers.append(b"something else")
    assert load_text(["tinyshakespeare"]) == text, "the second time it comes from the cache"
    (own_cache / "tinyshakespeare.txt").write_bytes(b"spoiled")
    with pytest.raises(ShakegptError, match="is not tinyshakespeare"):
        load_text(["tinyshakespeare"])


def test_without_a_network_it_says_so_at_once(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(sources, "TINYSHAKESPEARE", closed)
    began = time.monotonic()
    with pytest.raises(ShakegptError, match="--dataset plays, which needs no network"):
        load_text(["tinyshakespeare"])
    assert time.monotonic() - began < 5 and not own_cache.exists()


def test_a_name_server_that_is_silent_does_not_hold_it_up(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def silent(*_: object, **__: object) -> None:
        released.wait(20)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    began = time.monotonic()
    with pytest.raises(ShakegptError, match="cannot be fetched"):
        load_text(["tinyshakespeare"])
    took = time.monotonic() - began
    released.set()
    assert took < 5
