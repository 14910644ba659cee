"""Commands on their way: appended by anyone who may write, read once, junk passed over."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.runlog import schema as ev
from shakegpt.runlog.control import CONTROL_NAME, Inbox, Request, send
from shakegpt.train.supervisor import POLL_SECONDS, Supervisor


def test_a_command_arrives_once(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    assert inbox.poll() == []
    sent = [send(tmp_path, Request(verb="pause")), send(tmp_path, Request(verb="resume"))]
    assert inbox.poll() == sent and inbox.poll() == []
    more = send(tmp_path, Request(verb="sample", prompt="é\n🎭", temperature=0.5, top_k=3))
    assert inbox.poll() == [more]


def test_commands_of_an_earlier_life_are_not_obeyed_again(tmp_path: Path) -> None:
    send(tmp_path, Request(verb="stop"))
    inbox = Inbox(tmp_path)
    assert inbox.poll() == []
    later = send(tmp_path, Request(verb="save"))
    assert inbox.poll() == [later]


def test_a_line_in_two_pieces_is_one_command(tmp_path: Path) -> None:
    inbox, path = Inbox(tmp_path), tmp_path / CONTROL_NAME
    with open(path, "ab", buffering=0) as file:
        file.write(b'{"verb":"sa')
        assert inbox.poll() == []
        file.write(b've","id":"x"}\n')
    assert [(r.verb, r.id) for r in inbox.poll()] == [("save", "x")]


@pytest.mark.parametrize(
    "junk",
    [
        b"nonsense", b"", b"[]", b'{"verb":"format"}', b'{"id":"x"}', b"\xff\xfe", b"[" * 100_000,
        b'{"verb":"sample","prompt":5}', b'{"verb":"max_iters","max_iters":"9"}', b"\0" * 9,
        b"x" * (3 << 20),
    ],
    ids=lambda junk: repr(junk[:12]),
)  # fmt: skip
def test_what_is_no_command_is_passed_over(tmp_path: Path, junk: bytes) -> None:
    inbox = Inbox(tmp_path)
    with open(tmp_path / CONTROL_NAME, "ab") as file:
        file.write(junk + b"\n")
    sent, found = send(tmp_path, Request(verb="save")), list[Request]()
    for _ in range(8):  # a long line takes some polls
        found += inbox.poll()
    assert found == [sent]


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_nothing_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("run")
    inbox = Inbox(folder)
    (folder / CONTROL_NAME).write_bytes(data + b"\n")
    assert all(isinstance(r, Request) for r in inbox.poll())


def test_the_file_is_the_users_own(tmp_path: Path) -> None:
    send(tmp_path, Request(verb="save"))
    assert (tmp_path / CONTROL_NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_is_not_obeyed(tmp_path: Path, mode: int) -> None:
    inbox = Inbox(tmp_path)
    send(tmp_path, Request(verb="stop"))
    (tmp_path / CONTROL_NAME).chmod(mode)
    assert inbox.poll() == [] and "group or others" in inbox.refusal
    (tmp_path / CONTROL_NAME).chmod(0o600)
    assert [r.verb for r in inbox.poll()] == ["stop"] and not inbox.refusal


def test_a_refused_control_file_is_warned_of_once(tmp_path: Path) -> None:
    inbox, warned = Inbox(tmp_path), list[ev.Event]()

    class Log:
        def write(self, event: ev.Event) -> None:
            warned.append(event)

    send(tmp_path, Request(verb="stop"))
    (tmp_path / CONTROL_NAME).chmod(0o664)
    with Supervisor(Log(), inbox, signals=False) as supervisor:
        limit = time.monotonic() + 10
        while not any(isinstance(e, ev.RunWarning) for e in warned) and time.monotonic() < limit:
            supervisor.check()  # raises Stopped if the command were carried out
        time.sleep(3 * POLL_SECONDS)
    (warning,) = (e.message for e in warned if isinstance(e, ev.RunWarning))
    assert str(tmp_path / CONTROL_NAME) in warning


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_another_users_file_is_not_obeyed(tmp_path: Path) -> None:
    inbox, path = Inbox(tmp_path), tmp_path / CONTROL_NAME
    send(tmp_path, Request(verb="stop"))
    os.chown(path, 65534, 65534)
    assert inbox.poll() == [] and "another user" in inbox.refusal


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_is_no_file_is_not_obeyed(tmp_path: Path, kind: str) -> None:
    inbox, path, other = Inbox(tmp_path), tmp_path / CONTROL_NAME, tmp_path / "other"
    other.mkdir()
    send(other, Request(verb="stop"))
    match kind:
        case "link":
            path.symlink_to(other / CONTROL_NAME)
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
    assert inbox.poll() == [] and str(path) in inbox.refusal
    with pytest.raises(OSError):
        send(tmp_path, Request(verb="stop"))
    assert (other / CONTROL_NAME).read_bytes().count(b"\n") == 1


def test_a_file_that_became_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    send(tmp_path, Request(verb="save", prompt="x" * 500))
    assert len(inbox.poll()) == 1
    (tmp_path / CONTROL_NAME).unlink()
    sent = send(tmp_path, Request(verb="evaluate"))
    assert inbox.poll() == [sent]
