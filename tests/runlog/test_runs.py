"""The list of runs: names, summaries of whole and damaged logs, deletion that stays inside."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt.errors import ShakegptError
from shakegpt.runlog import runs
from shakegpt.runlog import schema as ev
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.status import STARTUP
from tests.tui import logs

NOBODY = 999_999_999
"""A process number beyond what Linux and macOS give out."""


def header(at: float, *, model: str = "pocket", pid: int = NOBODY, **config: object) -> ev.Run:
    return ev.Run(
        time=at,
        run_id="r",
        config={"max_iters": 20, **config},
        model=ev.Model(
            name=model, n_layer=1, n_head=1, n_embd=8, block_size=8, vocab_size=9, n_params=10
        ),
        dataset=ev.Dataset(
            name="plays",
            sha256="0",
            characters=1,
            train_tokens=1,
            val_tokens=1,
            eval_tokens=1,
            eval_whole=True,
        ),
        device="cpu",
        device_reason="",
        dtype="float32",
        dtype_reason="",
        memory=ev.Memory(weights=1, gradients=1, optimizer=1, activations=1, logits=1, process=1),
        versions={},
        git=None,
        seed=1,
        host="elsewhere",
        pid=pid,
        threads=1,
    )


def step(at: float, iteration: int) -> ev.Step:
    return ev.Step(
        time=at,
        iteration=iteration,
        loss=3.0,
        learning_rate=1e-3,
        grad_norm=1.0,
        seconds=1.0,
        tokens_per_second=1.0,
        memory=1,
    )


def evaluation(at: float, iteration: int, loss: float | None) -> ev.Eval:
    return ev.Eval(time=at, iteration=iteration, val_loss=loss, tokens=1, seconds=1.0, best=False)


def end(at: float, iteration: int) -> ev.End:
    return ev.End(
        time=at,
        status="finished",
        reason="done",
        iteration=iteration,
        best_val_loss=None,
        wall_seconds=1.0,
    )


def heartbeat(at: float, iteration: int, max_iters: int = 20) -> ev.Heartbeat:
    return ev.Heartbeat(
        time=at, phase="training", iteration=iteration, max_iters=max_iters, memory=1
    )


def write(run: Path, *records: ev.Event) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    with RunLog(run / LOG_NAME) as log:
        for record in records:
            log.write(record)
    return run


def finished(run: Path, at: float = 1000.0) -> Path:
    return write(
        run,
        header(at),
        evaluation(at + 1, 0, 4.0),
        step(at + 2, 1),
        evaluation(at + 3, 1, None),
        step(at + 4, 2),
        evaluation(at + 5, 2, 3.0),
        end(at + 6, 2),
    )


def test_a_new_directory_is_named_after_time_and_model(tmp_path: Path) -> None:
    path = runs.new_run_dir("openai-community/gpt2", tmp_path)
    assert path.parent == tmp_path
    assert not path.exists()
    time.strptime(path.name.removesuffix("-gpt2"), "%Y-%m-%dT%H-%M-%S")


@pytest.mark.parametrize("head", [b"", b'{"event":"run","ti'])
def test_a_start_that_was_killed_at_once_may_be_begun_again(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ShakegptError, match=f"--out-dir {tmp_path} .*model"):
        runs.require_unused(tmp_path)
    (tmp_path / LOG_NAME).write_bytes(head)
    runs.require_unused(tmp_path)
    (tmp_path / "model/model.safetensors").touch()
    with pytest.raises(ShakegptError, match="model/model"):
        runs.require_unused(tmp_path)
    (tmp_path / LOG_NAME).write_bytes(head + b"\n")
    with pytest.raises(ShakegptError, match=f"--resume {tmp_path}"):
        runs.require_unused(tmp_path)


def test_a_second_run_in_the_same_second_gets_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "2026-11-22T15-50-03")
    names = []
    for _ in range(3):
        path = runs.new_run_dir("pocket", tmp_path)
        path.mkdir()
        names.append(path.name)
    first = "2026-11-22T15-50-03-pocket"
    assert names == [first, f"{first}-2", f"{first}-3"]


@pytest.mark.parametrize(
    ("model", "slug"),
    [
        ("/models/my model/", "my-model"),
        ("runs/2026-11-22T15-50-03-pocket", "pocket"),
        ("../..", "model"),
        ("\x1b[31mred", "31mred"),
        ("a" * 100, "a" * 40),
    ],
)
def test_a_model_name_becomes_a_harmless_file_name(model: str, slug: str, tmp_path: Path) -> None:
    name = runs.new_run_dir(model, tmp_path).name
    assert name[len("2026-11-22T15-50-03-") :] == slug


def test_a_finished_run_in_numbers(tmp_path: Path) -> None:
    (run,) = runs.find_runs(finished(tmp_path / "a").parent)
    assert (run.state, run.model, run.dataset) == ("finished", "pocket", "plays")
    assert (run.iteration, run.max_iters) == (2, 20)
    assert (run.first_val, run.best_val) == (4.0, 3.0)
    assert run.val_curve == ((0, 4.0), (1, None), (2, 3.0))
    assert (run.started, run.updated, run.problem) == (1000.0, 1006.0, "")


def test_newest_first_and_nothing_but_runs(tmp_path: Path) -> None:
    finished(tmp_path / "old", 1000.0)
    finished(tmp_path / "new", 2000.0)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / LOG_NAME).write_text("dear diary\n")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "old")
    assert [run.name for run in runs.find_runs(tmp_path)] == ["new", "old"]
    assert runs.find_runs(tmp_path / "nowhere") == []


def test_a_live_run_is_told_from_a_crashed_one(tmp_path: Path) -> None:
    now = time.time()
    write(tmp_path / "live", header(now), heartbeat(now, 1, max_iters=30))
    write(tmp_path / "dead", header(now - 100), heartbeat(now - 90, 1))
    live, dead = runs.find_runs(tmp_path)
    assert (live.name, live.state, live.max_iters) == ("live", "training", 30)
    assert (dead.name, dead.state) == ("dead", "crashed")


def test_a_trainer_that_has_not_begun_its_log_is_starting(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / runs.TRAINER_LOG
    log.write_text("")
    assert runs.find_runs(tmp_path)[0].state == "starting"
    os.utime(log, (time.time() - STARTUP / 2,) * 2)  # torch from a cold disk takes long
    assert runs.find_runs(tmp_path)[0].state == "starting"
    os.utime(log, (1000, 1000))
    (run,) = runs.find_runs(tmp_path)
    assert (run.state, run.updated) == ("crashed", 1000.0)


def test_a_resume_voids_its_tail(tmp_path: Path) -> None:
    run = write(
        tmp_path / "run",
        header(1.0),
        evaluation(2.0, 0, 4.0),
        step(3.0, 4),
        evaluation(4.0, 5, 2.0),
        step(5.0, 6),
        logs.resume(4, time=6.0, config={"max_iters": 40}),
    )
    told = runs.summarize(run)
    assert told.val_curve == ((0, 4.0),)
    assert (told.best_val, told.iteration, told.max_iters) == (4.0, 4, 40)
    write(run, step(7.0, 5))
    assert runs.summarize(run).iteration == 5


def test_the_index_reads_on_and_starts_again_when_a_log_is_replaced(tmp_path: Path) -> None:
    run = write(tmp_path / "run", header(1.0), evaluation(2.0, 0, 4.0))
    index = runs.RunIndex(tmp_path)
    assert index.refresh()[0].val_curve == ((0, 4.0),)
    with (run / LOG_NAME).open("ab") as log:
        log.write(b'{"event":"eval","time":3.0,"iteration":1,"val_loss":3.5,')
    assert index.refresh()[0].val_curve == ((0, 4.0),)
    with (run / LOG_NAME).open("ab") as log:
        log.write(b'"tokens":1,"seconds":1.0,"best":true}\n')
    assert index.refresh()[0].val_curve == ((0, 4.0), (1, 3.5))
    (run / LOG_NAME).unlink()
    write(run, header(9.0, model="gpt2"))
    (told,) = index.refresh()
    assert (told.model, told.val_curve) == ("gpt2", ())


def test_a_newer_schema_is_named(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    text = (run / LOG_NAME).read_bytes().replace(b'"schema":1', b'"schema":99')
    (run / LOG_NAME).write_bytes(text)
    assert "schema 99" in runs.summarize(run).problem


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 3000), junk=st.binary(max_size=40), at=st.integers(0, 3000))
def test_no_damage_makes_the_list_raise(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes, at: int
) -> None:
    run = finished(tmp_path_factory.getbasetemp() / "damaged" / "run")
    log = run / LOG_NAME
    whole = log.read_bytes()
    log.write_bytes((whole[:at] + junk + whole[at:])[: max(cut, 1)])
    for summary in runs.find_runs(run.parent):
        assert summary.path == run
    log.unlink()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"max_iters":20', b'"max_iters":"many"'),
        (b'"max_iters":20', b'"max_iters":null'),
        (b'"pid":999999999', b'"pid":99999999999999999999'),
        (b'"iteration":1', b'"iteration":99999999999999999999'),
    ],
)
def test_odd_values_do_not_raise_either(old: bytes, new: bytes, tmp_path: Path) -> None:
    run = write(tmp_path / "run", header(1.0), evaluation(2.0, 1, 3.0))
    host = os.uname().nodename.encode()
    text = (run / LOG_NAME).read_bytes().replace(b"elsewhere", host)
    assert old in text
    (run / LOG_NAME).write_bytes(text.replace(old, new))
    assert runs.find_runs(tmp_path)[0].state == "crashed"


def test_a_trainer_of_this_machine_that_died_is_named_at_once(tmp_path: Path) -> None:
    now, index = time.time(), runs.RunIndex(tmp_path)
    ours = msgspec.structs.replace(header(now, pid=os.getpid()), host=os.uname().nodename)
    run = write(tmp_path / "run", ours, heartbeat(now, 1))
    with RunLog(run / LOG_NAME):
        assert index.refresh()[0].state == "training"
    assert index.refresh()[0].state == "crashed"
    write(run, end(now, 1))
    assert index.refresh()[0].state == "finished"


def test_200_000_records_take_well_under_a_second_of_cpu(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    filler = b'{"event":"token","time":1.5,"text":"' + b"x" * 300 + b'"}\n'
    head, tail = (run / LOG_NAME).read_bytes().split(b"\n", 1)
    (run / LOG_NAME).write_bytes(head + b"\n" + filler * 200_000 + tail)
    began = time.process_time()
    assert runs.find_runs(tmp_path)[0].best_val == 3.0
    assert time.process_time() - began < 1.0


def test_delete_moves_the_run_to_the_trash_and_restore_takes_the_last_one_back(
    tmp_path: Path,
) -> None:
    base, outside = tmp_path / "runs", tmp_path / "precious"
    outside.mkdir()
    (outside / "thesis").write_text("years of work")
    for name in ("one", "two", "one"):  # the same name a second time
        run = finished(base / name)
        (run / "model").symlink_to(outside)
        assert (where := runs.delete_run(run)).parent == base / ".trash"
        assert not run.exists() and (where / "model" / "thesis").exists()
        assert runs.find_runs(base) == []
        time.sleep(0.02)  # file systems count time in ticks
    assert sorted(path.name for path in (base / ".trash").iterdir()) == ["one", "one-2", "two"]
    finished(base / "two")
    restored = [runs.restore_run(base) for _ in range(3)]
    assert [path.name for path in restored] == ["one-2", "two-2", "one"]
    assert {run.name for run in runs.find_runs(base)} == {"one", "one-2", "two", "two-2"}
    with pytest.raises(ShakegptError, match=str(base / ".trash")):
        runs.restore_run(base)


def test_delete_refuses_links_strangers_and_live_runs(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    link = tmp_path / "link"
    link.symlink_to(run)
    (tmp_path / "home").mkdir()
    now = time.time()
    live = write(tmp_path / "live", header(now), heartbeat(now, 1))
    for path, why in [
        (link, "link"),
        (tmp_path / "home", "no run directory"),
        (tmp_path / "nowhere", "no run directory"),
        (live, "being trained"),
    ]:
        with pytest.raises(ShakegptError, match=why):
            runs.delete_run(path)
    assert run.exists() and live.exists()


def test_a_run_on_nfs_is_deleted_unless_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS refuses an exclusive lock on a descriptor that cannot write."""
    local = fcntl.flock

    def nfs(fd: int, how: int) -> None:
        if how & fcntl.LOCK_EX and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        local(fd, how)

    monkeypatch.setattr(fcntl, "flock", nfs)
    run = finished(tmp_path / "run")
    with RunLog(run / LOG_NAME), pytest.raises(ShakegptError, match="being trained"):
        runs.delete_run(run)
    runs.delete_run(run)
    assert not run.exists()


def test_delete_refuses_a_run_whose_log_is_locked(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    with RunLog(run / LOG_NAME), pytest.raises(ShakegptError, match="being trained"):
        runs.delete_run(run)
    assert (run / LOG_NAME).exists()
