"""Where text comes from, and the sentence for each that is no text."""

from __future__ import annotations

import gzip
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

from shakegpt.data import tinyshakespeare
from shakegpt.data.sources import load_text, resolve
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.errors import ShakegptError


def file(folder: Path, name: str, data: bytes | str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    content = "ROMEO:\nÀ la carte 🎭\n\n\n"
    text = load_text([file(tmp_path, "a.txt", content)])
    assert (text.name, text.content, text.documents) == ("a.txt", content, 1)
    assert text.sha256 == hashlib.sha256(content.encode()).hexdigest() and text.notes == ()


def test_each_of_several_files_ends_by_itself(tmp_path: Path) -> None:
    names = [file(tmp_path, n, f"{n}\n\n") for n in ("b.txt", "a.txt")]
    text = load_text(names)
    assert text.content == f"b.txt{END_OF_TEXT}a.txt{END_OF_TEXT}" and text.name == "b.txt a.txt"
    joined = load_text(names, separate_documents=False)
    assert joined.content == "b.txt\n\na.txt" and joined.sha256 != text.sha256


POEMS = ("z.txt", "a.TXT", "deep/er/m.md", "b.text", "n.markdown", "packed.txt.gz")
NO_POEMS = (
    *(
        ".ipynb_checkpoints/a-checkpoint.txt",
        ".git/x.txt",
        "__MACOSX/a.txt",
        ".hidden.txt",
        "c.txt~",
    ),
    *("~$a.txt", "Thumbs.db", "requirements.txt", "README.md", "LICENSE.txt", "labels.csv"),
    *("picture.jpg", "venv.egg-info/SOURCES.txt"),
)


def test_a_directory_gives_its_texts_once_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "poems"
    for name in (*POEMS, *NO_POEMS):
        data = gzip.compress(name.encode()) if name.endswith(".gz") else name
        file(folder, name, data)
    (folder / "again.txt").symlink_to("z.txt")
    (folder / "deep" / "loop").symlink_to("..", target_is_directory=True)
    (folder / "nowhere.txt").symlink_to("gone.txt")
    (tmp_path / "elsewhere").mkdir()
    file(tmp_path / "elsewhere", "e.txt", "linked")
    (folder / "linked").symlink_to("../elsewhere", target_is_directory=True)
    os.mkfifo(folder / "pipe.txt")
    text = load_text([str(folder)])
    order = ["a.TXT", "z.txt", "b.text", "deep/er/m.md", "linked", "n.markdown", "packed.txt.gz"]
    assert text.content == "".join(part + END_OF_TEXT for part in order)
    note = text.notes[0]
    assert all(f"1 {kind}" in note for kind in (".md", ".markdown", ".text"))
    assert "poems" in note and "4 .txt" in note and "left out" in note
    assert load_text([str(folder / "README.md")]).content == "README.md", "what is named is read"


def test_records_are_taken_where_a_directory_has_nothing_else(tmp_path: Path) -> None:
    file(tmp_path, "a.jsonl", '{"text": "one"}\n{"text": "two"}\n')
    assert load_text([str(tmp_path)]).documents == 2
    file(tmp_path, "b.txt", "plain")
    assert load_text([str(tmp_path)]).content == "plain"
    assert load_text([str(tmp_path)], text_field="text").documents == 2


def test_names_mean_what_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.txt", "b.txt", "x,y.txt", "plays/own.txt"):
        file(tmp_path, name, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def names(*given: str) -> list[str]:
        return [name.removeprefix(f"{tmp_path}/") for name in resolve(given)]

    assert names("a.txt,b.txt", "-", "plays,a.txt") == ["a.txt", "b.txt", "-", "plays", "a.txt"]
    assert names("x,y.txt") == ["x,y.txt"], "a name with a comma"
    assert names("~/b.txt", "a.txt,~/b.txt") == ["b.txt", "a.txt", "b.txt"]
    assert names("?.txt") == ["a.txt", "b.txt"], "a pattern that no shell has filled in"
    assert names("./plays") == ["plays"] and resolve(["./plays"]) != ["plays"]
    assert load_text(["./plays"]).content == "plays/own.txt"
    assert any("./plays" in note for note in load_text(["plays"]).notes), "whose plays is said"
    assert resolve(resolve(["~/b.txt", "./plays"])) == resolve(["~/b.txt", "./plays"])
    for wrong in ("a.txt,gone.txt", "https://example.org/a.txt", "~/gone.txt", "*.doc"):
        with pytest.raises(ShakegptError):
            load_text([wrong])


def test_a_file_is_named_by_its_address_and_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a b.txt"
    path.write_text("<!DOCTYPE html><p>Words, words")
    text = load_text([f"file://{tmp_path}/a%20b.txt", str(path)])
    assert text.content == path.read_text() and text.documents == 1
    assert any("2 times" in note for note in text.notes)
    assert any("HTML" in note for note in text.notes)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("to be é".encode())))
    assert load_text(["-"]).content == "to be é"


def test_a_process_substitution_is_read() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write("été".encode())
    assert load_text([f"/dev/fd/{reading}"]).content == "été"
    os.close(reading)


@pytest.mark.parametrize("name", ["/dev/zero", "-"])
def test_a_device_without_end_is_refused_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/zero").open() as endless:
        monkeypatch.setattr("sys.stdin", endless)
        with pytest.raises(ShakegptError, match="binary"):
            load_text([name])


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n ", b"\xef\xbb\xbf"])
def test_an_empty_text_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ShakegptError, match=r"a\.txt is empty"):
        load_text([file(tmp_path, "a.txt", data)])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.txt", "does not exist"),
        ("nothing/at/all", "does not exist"),
        ("x" * 5000, "cannot be read"),
        ("a.txt/b", "cannot be read"),
        ("empty", "has no text"),
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
    monkeypatch.setattr(tinyshakespeare, "URL", address)
    monkeypatch.setattr(tinyshakespeare, "SHA256", hashlib.sha256(answers[-1]).hexdigest())
    text = load_text(["tinyshakespeare"])
    assert text.name == "tinyshakespeare" and text.speakers == ("First Citizen",)
    answers.append(b"something else")
    assert load_text(["tinyshakespeare"]) == text, "the second time it comes from the cache"
    (own_cache / "tinyshakespeare.txt").write_bytes(b"spoiled")
    with pytest.raises(ShakegptError, match="--dataset plays"):
        load_text(["tinyshakespeare"])


def test_without_a_network_it_says_so_at_once(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(tinyshakespeare, "URL", closed)
    began = time.monotonic()
    with pytest.raises(ShakegptError, match="--dataset plays"):
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
    with pytest.raises(ShakegptError, match="--dataset plays"):
        load_text(["tinyshakespeare"])
    took = time.monotonic() - began
    released.set()
    assert took < 5
