"""The log on disk: what a real run writes comes back; damage anywhere is named, never raised."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.errors import ShakegptError
from shakegpt.runlog import runs
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import losses
from shakegpt.runlog.lock import is_held
from shakegpt.runlog.log import CHUNK, LOG_NAME, Follower, RunLog, header, read
from shakegpt.session import finetune
from tests.tiny import tiny_config


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> bytes:
    """The log of a real, very short run."""
    config = tiny_config(
        text_file,
        tmp_path_factory.mktemp("runs") / "run",
        max_iters=1,
        gradient_accumulation_steps=1,
        max_new_tokens=2,
    )
    return (finetune(config) / LOG_NAME).read_bytes()


def log_of(folder: Path, data: bytes) -> Path:
    path = folder / LOG_NAME
    path.write_bytes(data)
    return path


def test_every_record_comes_back_as_it_was(written: bytes, tmp_path: Path) -> None:
    records, problems = read(log_of(tmp_path, written))
    assert not problems and len(records) == written.count(b"\n")
    again = tmp_path / "again.jsonl"
    with RunLog(again) as log:
        for record in records:
            log.write(record)
    assert again.read_bytes() == written


def test_a_line_is_a_json_object_that_begins_with_its_kind(written: bytes) -> None:
    kinds = {kind.__struct_config__.tag for kind in ev.Event.__args__}
    for line in written.decode("utf-8").splitlines():
        record = json.loads(line)
        assert list(record)[:2] == ["event", "time"] and record["event"] in kinds
    assert json.loads(written.splitlines()[0])["schema"] == ev.SCHEMA


def test_a_log_that_is_cut_anywhere_gives_its_whole_lines(written: bytes, tmp_path: Path) -> None:
    path = log_of(tmp_path, written)
    whole, _ = read(path)
    for size in range(len(written) - 1, -1, -1):
        os.truncate(path, size)
        records, problems = read(path)
        assert not problems and records == whole[: written.count(b"\n", 0, size)]


def test_a_torn_tail_is_cut_on_reopening(written: bytes, tmp_path: Path) -> None:
    for size in (1, 100, len(written) - 1, written.index(b"\n"), written.index(b"\n") + 1):
        path = log_of(tmp_path, written[:size])
        with RunLog(path) as log:
            log.write(ev.RunWarning(time=1.0, iteration=0, message="on"))
        records, problems = read(path)
        assert not problems and len(records) == written.count(b"\n", 0, size) + 1
        assert isinstance(records[-1], ev.RunWarning)


def test_a_long_torn_tail_is_cut_too(tmp_path: Path) -> None:
    path = log_of(tmp_path, b'{"event":"warning"}\n' + b"x" * 700_000)
    RunLog(path).close()
    assert path.read_bytes() == b'{"event":"warning"}\n'


@pytest.mark.parametrize("before", [b"", b"1\n"])
@pytest.mark.parametrize("length", [CHUNK - 3, CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_a_torn_tail_of_any_length_is_cut(tmp_path: Path, before: bytes, length: int) -> None:
    path = log_of(tmp_path, before + b"x" * length)
    RunLog(path).close()
    assert path.read_bytes() == before


def test_a_disk_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(ShakegptError, match="locks") as refused:
        RunLog(run / LOG_NAME)
    assert refused.value.exit_code == 1 and not run.exists(), "no remains"
    run.mkdir()
    (run / LOG_NAME).write_bytes(b'{"event":"run"')
    os.utime(run, (1000, 1000))
    assert not is_held(run / LOG_NAME)
    runs.delete_run(run)
    assert not run.exists()


def test_a_log_is_on_disk_as_far_as_the_last_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut must not leave a state whose iterations the log has never heard of."""
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: sizes.append(os.fstat(fd).st_size))
    with RunLog(tmp_path / LOG_NAME) as log:
        log.write(ev.RunWarning(iteration=0, message="x"))
        assert not sizes
        log.write(ev.Checkpoint(iteration=1, kind="last", path="x", bytes=1, seconds=1.0))
        assert sizes == [(tmp_path / LOG_NAME).stat().st_size]


def test_what_is_no_file_is_no_log(tmp_path: Path) -> None:
    """Nobody waits for a pipe that was put in its place."""
    os.mkfifo(tmp_path / LOG_NAME)
    with pytest.raises(OSError, match="regular file"):
        read(tmp_path / LOG_NAME)
    assert "regular file" in runs.summarize(tmp_path).problem
    assert not runs.is_run(tmp_path) and losses(tmp_path).run is None


def test_a_log_longer_than_a_portion_is_read_whole(tmp_path: Path) -> None:
    line = b'{"event":"warning","time":1.0,"iteration":1,"message":"as before"}\n'
    count = 3 * CHUNK // len(line)
    (tmp_path / LOG_NAME).write_bytes(line * count)
    assert len(read(tmp_path / LOG_NAME)[0]) == count


def test_a_line_of_megabytes_is_followed_in_portions(written: bytes, tmp_path: Path) -> None:
    lines = written.splitlines(keepends=True)
    whole = read(log_of(tmp_path, written))[0]
    long = b"x" * 2_000_000
    path = log_of(tmp_path, b"".join([*lines[:3], long, b"\n", *lines[3:]]))
    follower, found = Follower(path), list[ev.Event]()
    for _ in range(
        path.stat().st_size // 1000 + len(lines)
    ):  # each takes that many bytes or a line
        found += follower.poll(1000)
    assert found == whole
    assert [p.line for p in follower.problems] == [4]


BAD_LINES = {
    "no JSON": b"nonsense",
    "empty": b"",
    "a list": b"[1,2]",
    "an unknown kind": b'{"event":"party","time":1.0}',
    "no kind": b'{"time":1.0}',
    "a field of another type": b'{"event":"warning","time":1.0,"iteration":"x","message":""}',
    "a field missing": b'{"event":"warning","time":1.0}',
    "not UTF-8": b'{"event":"warning","time":1.0,"iteration":1,"message":"\xff"}',
    "deep": b"[" * 200_000,
    "zeros": b"\0" * 50,
    "a number too large": b'{"event":"warning","time":1.0,"iteration":1e400,"message":""}',
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_in_the_middle_is_named(name: str, written: bytes, tmp_path: Path) -> None:
    lines = written.split(b"\n")
    data = b"\n".join([*lines[:3], BAD_LINES[name], *lines[3:]])
    records, problems = read(log_of(tmp_path, data))
    assert [p.line for p in problems] == [4] and problems[0].message
    assert records == read(log_of(tmp_path, written))[0]


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_content_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = log_of(tmp_path_factory.getbasetemp(), data + b"\n")
    records, problems = read(path)
    assert len(records) + len(problems) == (data + b"\n").count(b"\n")


@pytest.mark.parametrize("extra", ["", ',"new":{"field":1}'])
def test_a_newer_schema_is_refused_with_a_sentence(tmp_path: Path, extra: str) -> None:
    line = f'{{"event":"run","time":1.0,"schema":{ev.SCHEMA + 1}{extra}}}\n'
    with pytest.raises(ShakegptError, match=f"schema {ev.SCHEMA + 1}"):
        read(log_of(tmp_path, line.encode()))


def test_unknown_fields_of_a_record_are_passed_over(tmp_path: Path) -> None:
    line = b'{"event":"warning","time":1.0,"iteration":1,"message":"m","later":[1]}\n'
    assert read(log_of(tmp_path, line)) == ([ev.RunWarning(time=1.0, iteration=1, message="m")], [])


def test_there_may_be_no_log(tmp_path: Path) -> None:
    assert read(tmp_path / "none" / LOG_NAME) == ([], [])
    assert read(log_of(tmp_path, b"")) == ([], [])


def test_a_follower_takes_what_has_come(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / LOG_NAME
    follower, found = Follower(path), list[ev.Event]()
    assert follower.poll() == []
    with open(path, "ab", buffering=0) as file:
        for start in range(0, len(written), 97):  # never at the end of a line, but by chance
            file.write(written[start : start + 97])
            found += follower.poll()
    assert found == read(path)[0] and not follower.problems and follower.poll() == []


def test_a_follower_of_some_kinds_keeps_their_lines_and_the_latest_time(
    written: bytes, tmp_path: Path
) -> None:
    """Other writers may put spaces into a record; a damaged line is counted as well."""
    spaced = b'{ "event": "warning", "time": 9e9, "iteration": 1, "message": "later" }\n'
    path = log_of(tmp_path, b"junk\n" + written + spaced)
    everything = Follower(path).entries()
    kinds = (ev.Run, ev.Eval, ev.End)
    follower = Follower(path, kinds)
    assert follower.entries() == [e for e in everything if isinstance(e.record, kinds)]
    assert [p.line for p in follower.problems] == [1] and follower.time == 9e9
    lines = path.read_bytes().split(b"\n")
    assert all(json.loads(lines[e.line - 1])["time"] == e.record.time for e in everything)
    with RunLog(path) as log:
        log.write(
            ev.Progress(time=1e10, iteration=1, micro_step=1, micro_steps=1, loss=1, tokens=1)
        )
    assert follower.poll() == [] and follower.time == 1e10


def test_the_header_is_the_first_record(written: bytes, tmp_path: Path) -> None:
    found = header(log_of(tmp_path, written))
    assert found == read(tmp_path / LOG_NAME)[0][0]
    assert header(log_of(tmp_path, written[:50])) is None and header(tmp_path / "none") is None


def test_a_follower_reads_in_portions(written: bytes, tmp_path: Path) -> None:
    path, found = log_of(tmp_path, written), list[ev.Event]()
    follower = Follower(path)
    for _ in range(len(written) // 200 + 2):
        found += follower.poll(limit=200)
    assert found == read(path)[0]


def test_a_follower_outlives_the_cut_of_a_torn_line(tmp_path: Path) -> None:
    path, record = tmp_path / LOG_NAME, ev.RunWarning(time=1.0, iteration=1, message="m")
    with RunLog(path) as log:
        log.write(record)
    with open(path, "ab") as file:
        file.write(b'{"event":"warn')
    follower = Follower(path)
    assert follower.poll() == [record]
    with RunLog(path) as log:
        assert follower.poll() == [] and not follower.restarted
        log.write(record)
    assert follower.poll() == [record] and not follower.problems


def test_a_follower_begins_again_with_another_log(tmp_path: Path) -> None:
    path = tmp_path / LOG_NAME
    one, two = (ev.RunWarning(time=1.0, iteration=n, message="m" * 9) for n in (1, 2))
    follower = Follower(path)
    for record in (one, two):
        with RunLog(tmp_path / "new") as log:
            log.write(record)
        (tmp_path / "new").replace(path)
        assert follower.poll() == [record]
    assert follower.restarted


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(ShakegptError, match=str(tmp_path))
    with RunLog(tmp_path / LOG_NAME), refused:
        RunLog(tmp_path / LOG_NAME)
    RunLog(tmp_path / LOG_NAME).close()


def test_whether_there_is_a_writer_is_seen(tmp_path: Path) -> None:
    path = tmp_path / LOG_NAME
    assert not is_held(path)
    with RunLog(path):
        assert is_held(path)
    assert not is_held(path)


def test_who_only_looks_keeps_no_writer_out(tmp_path: Path) -> None:
    path = log_of(tmp_path, b"")
    with path.open("rb") as looked:
        fcntl.flock(looked, fcntl.LOCK_SH)
        threading.Timer(0.03, fcntl.flock, (looked.fileno(), fcntl.LOCK_UN)).start()
        with RunLog(path):
            assert is_held(path)


def test_a_loss_that_is_no_number_is_null(tmp_path: Path) -> None:
    path = tmp_path / LOG_NAME
    with RunLog(path) as log:
        for loss in (float("nan"), float("inf"), -float("inf")):
            log.write(ev.Eval(iteration=1, val_loss=loss, tokens=1, seconds=0.1, best=False))
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    records, problems = read(path)
    assert not problems
    assert [e.val_loss for e in records if isinstance(e, ev.Eval)] == [None] * 3


def test_a_line_is_one_write_even_from_many_threads(tmp_path: Path) -> None:
    import threading

    path = tmp_path / LOG_NAME
    with RunLog(path) as log:

        def work(n: int) -> None:
            for k in range(100):
                log.write(ev.RunWarning(iteration=k, message=str(n) * 500))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    records, problems = read(path)
    assert len(records) == 400 and not problems


def test_a_record_says_when_it_was_made() -> None:
    before = time.time()
    assert before <= ev.RunWarning(iteration=0, message="").time <= time.time()


def test_texts_of_any_kind_are_data(tmp_path: Path) -> None:
    path, odd = (
        tmp_path / LOG_NAME,
        "\x1b[31m[b]\n\r\u2028</script>{{1}}\x00\ud83d".encode("utf-8", "ignore").decode(),
    )
    with RunLog(path) as log:
        log.write(ev.RunWarning(time=1.0, iteration=0, message=odd))
    assert path.read_bytes().count(b"\n") == 1
    assert read(path)[0] == [ev.RunWarning(time=1.0, iteration=0, message=odd)]


def test_a_candidate_is_an_array(written: bytes) -> None:
    line = next(x for x in written.splitlines() if x.startswith(b'{"event":"token"'))
    candidate = json.loads(line)["candidates"][0]
    assert isinstance(candidate, list) and [type(v) for v in candidate] == [int, str, float, float]
    assert msgspec.convert(candidate, ev.Candidate).id == candidate[0]
