"""Several processes train one run: the same numbers, one log, and no loss when one is killed."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file

from shakegpt import session
from shakegpt.checkpoint import tensorfile
from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.distributed import env, rendezvous
from shakegpt.distributed.group import Team, share
from shakegpt.errors import ShakegptError
from shakegpt.files import sha256
from shakegpt.hardware import memory
from shakegpt.runlog.control import Request, send
from shakegpt.runlog.history import History, load
from shakegpt.runlog.log import LOG_NAME, read
from shakegpt.runlog.schema import End, Run
from tests.commands import PATIENCE, ROOT, Commands, Forked, finish
from tests.tiny import as_flags, tiny_config

ITERATIONS = 8
SETTINGS: dict[str, Any] = {
    "gradient_accumulation_steps": 3,
    "learning_rate": 1e-3,
    "eval_interval": 4,
    "max_iters": ITERATIONS,
}
"""Three micro-steps and two processes: they share the windows of each."""


@pytest.mark.parametrize("processes", range(1, 13))
@pytest.mark.parametrize(("micro_steps", "batch_size"), [(1, 12), (4, 6), (6, 4), (32, 1)])
def test_every_window_is_seen_once(processes: int, micro_steps: int, batch_size: int) -> None:
    if batch_size % (processes // gcd(micro_steps, processes)):
        with pytest.raises(
            ShakegptError, match=f"{processes} .*--gradient-accumulation-steps {micro_steps}"
        ):
            share(micro_steps, batch_size, 0, processes)
        return
    shares = [share(micro_steps, batch_size, rank, processes) for rank in range(processes)]
    windows = list(range(batch_size))
    seen = [(m, w) for mine in shares for m in mine.micro_steps() for w in mine.of(windows)]
    assert sorted(seen) == [(m, w) for m in range(1, micro_steps + 1) for w in windows]
    rounds = list(zip(*(mine.micro_steps() for mine in shares), strict=True))
    assert [sorted(r) for r in rounds] == [list(r) for r in rounds], "in the order of the log"


def test_the_estimate_is_that_of_one_process() -> None:
    config = FinetuneConfig(batch_size=1, gradient_accumulation_steps=4, block_size=128)
    small = GPTConfig(n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50257)
    alone, two_share = (memory.estimate(small, config, processes=n) for n in (1, 2))
    measured = 2794 << 20  # peak of either of two processes, docs/lab-log.md
    assert two_share.total == pytest.approx(measured, rel=0.1)
    assert two_share.process - alone.process == 4 * small.n_params, "DDP's buckets"
    assert two_share.activations == alone.activations, "whole micro-steps are dealt out"
    windows = replace(config, batch_size=8, gradient_accumulation_steps=1)
    alone, eight_share = (memory.estimate(small, windows, processes=n) for n in (1, 8))
    assert eight_share.activations * 8 == alone.activations, "here its windows are"
    most = two_share.total - 1
    assert memory.choose(small, config, most) == "normal"
    assert memory.choose(small, config, most, processes=2) == "low"


def test_alone_nothing_is_asked_of_anybody() -> None:
    team = Team()
    assert team.gather(2.5) == [2.5] and team.any_rank(True, False) == [True, False]
    assert team.broadcast({"a": 1}) == {"a": 1} and team.run_on_rank0(lambda: "x") == "x"
    assert list(team.micro_steps(share(3, 1, 0, 1))) == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        team.run_on_all(lambda: 1 // 0)
    with pytest.raises(ShakegptError, match="--dataset"):
        Team(0, 2).share(tiny_config(Path("-"), Path("run")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> History:
    """What one process makes of it."""
    run = tmp_path_factory.mktemp("alone") / "run"
    session.finetune(tiny_config(text_file, run, **SETTINGS))
    return load(run)[0]


@contextmanager
def two(folder: Path, *argv: str, restarts: int = 0) -> Iterator[subprocess.Popen[str]]:
    """`torchrun`, two processes of `shakegpt finetune argv`; ended when the block is left."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    job = [f"--max-restarts={restarts}", "-m", "shakegpt", "finetune", *argv]
    process = subprocess.Popen(
        [sys.executable, *launcher, *job],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tui'}:{ROOT / 'figures'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            finish(process)


def pair(shakegpt: Commands, folder: Path, *argv: str) -> tuple[Forked, Forked]:
    """The two processes of `shakegpt finetune argv` with the variables that `torchrun` sets."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def started(rank: str) -> Forked:
        return shakegpt.start(
            *("finetune", *argv),
            cwd=folder,
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            RANK=rank,
            LOCAL_RANK=rank,
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )

    return started("0"), started("1")


def until(
    process: subprocess.Popen[str] | Forked, run: Path, true: Callable[[History], object]
) -> History:
    """The history of `run` as soon as something is true of it."""
    limit = time.monotonic() + PATIENCE
    while not true(history := load(run)[0]):
        assert time.monotonic() < limit and process.poll() is None, finish(process)
        time.sleep(0.1)
    return history


def worker(process: subprocess.Popen[str], rank: int) -> psutil.Process:
    """The process of that rank which the launcher has started last."""
    children = psutil.Process(process.pid).children()
    found = [c for c in children if c.environ().get("RANK") == str(rank)]
    return max(found, key=lambda c: c.create_time())


def phase(run: Path) -> str:
    """What the first process of `run` was about to do when it last said so."""
    beat = load(run)[0].heartbeat
    return beat.phase if beat is not None else ""


def kill_while(process: subprocess.Popen[str], rank: int, true: Callable[[], object]) -> None:
    """Kill the process of that rank at a moment when something is true of those who wait for it."""
    victim, limit = worker(process, rank), time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        victim.send_signal(signal.SIGSTOP)
        time.sleep(0.2)  # by now they have come to where they need it
        if true():
            victim.send_signal(signal.SIGKILL)
            return
        victim.send_signal(signal.SIGCONT)
        time.sleep(random.uniform(0.01, 0.1))
    raise AssertionError("that moment never came")


def same(one: dict[Any, Any], other: dict[Any, Any], name: str, within: float = 1e-5) -> None:
    """Hold every loss to that much of the one that a single process has."""
    assert one and list(one) == list(other)[: len(one)], name
    for key, record in one.items():
        assert getattr(other[key], name) == pytest.approx(getattr(record, name), abs=within), key


def test_two_processes_go_on_where_one_stopped_and_the_other_way_round(
    shakegpt: Commands, tmp_path: Path, text_file: Path, alone: History
) -> None:
    run = tmp_path / "run"
    session.finetune(tiny_config(text_file, run, **SETTINGS | {"max_iters": 3}))
    first, second = pair(shakegpt, tmp_path, "--resume", "run", "--max-iters", "5000")
    until(first, run, lambda h: h.iteration >= ITERATIONS)
    asked = [Request(verb="sample", max_new_tokens=3), Request(verb="evaluate")]
    asked += [Request(verb="sample", top_p=7.0), Request(verb="pause")]
    for request in asked:
        send(run, request)
    ids = [request.id for request in asked]
    known = until(
        first,
        run,
        lambda h: all(i in h.commands and h.commands[i].status != "accepted" for i in ids),
    )
    assert [known.commands[i].status for i in ids] == ["done", "done", "refused", "done"]
    send(run, Request(verb="stop"))
    code, out, err = finish(first)
    assert code == 0 == finish(second)[0], err
    history, problems = load(run)
    assert not problems and history.end is not None
    assert (history.end.status, history.end.reason) == ("stopped", "stopped by command")
    assert history.resumes[0].world is not None and history.resumes[0].world.processes == 2
    assert "stopped by command" in out and out.count("stopped by command") == 1
    same(alone.progress, history.progress, "loss")
    same(alone.steps, history.steps, "loss")
    same(alone.evals, {k: history.evals[k] for k in alone.evals}, "val_loss")
    tokens = [record.tokens for record in history.progress.values()]
    assert tokens == list(range(tokens[0], tokens[-1] + 1, tokens[0])), "each micro-step once"
    session.resume(run, max_iters=history.end.iteration + 1)
    again = load(run)[0]
    assert again.end is not None and again.end.status == "finished"
    assert sorted(again.steps) == list(range(1, history.end.iteration + 2))
    assert again.resumes[1].world is None


def test_a_lost_process_is_told_and_the_job_goes_on(
    tmp_path: Path, text_file: Path, alone: History
) -> None:
    run = tmp_path / "run"
    config = tiny_config(text_file, Path("run"), **SETTINGS | {"max_iters": 100_000})
    with two(tmp_path, *as_flags(config), restarts=1) as process:
        until(process, run, lambda h: h.iteration >= 3)
        for _ in range(50):
            send(run, Request(verb="evaluate"))
        kill_while(process, 1, lambda: phase(run) == "evaluating")
        until(process, run, lambda h: h.resumes)
        (lost,) = [e for e in read(run / LOG_NAME)[0] if isinstance(e, End)]
        last = until(process, run, lambda h: h.iteration >= ITERATIONS).iteration + 20
        send(run, Request(verb="max_iters", max_iters=last))
        code, _, err = finish(process)
    assert code == 0, err
    sentence = "another process of this training was lost; the state of iteration"
    if lost.reason != "stopped by SIGTERM":  # by the launcher, which may see it first
        assert lost.status == "failed" and sentence in lost.reason
        assert err.count(sentence) == 1 == err.count("--resume run")
    history, problems = load(run)
    assert not problems and history.end is not None and history.end.status == "finished"
    assert history.resumes[0].iteration == lost.iteration >= 3
    assert sorted(history.steps) == list(range(1, history.end.iteration + 1))
    same(alone.steps, history.steps, "loss")


def test_shares_of_a_model_learn_what_the_whole_does(tmp_path: Path, text_file: Path) -> None:
    run, settings = tmp_path / "run", SETTINGS | {"n_embd": 34, "eval_interval": 2}
    session.finetune(tiny_config(text_file, run, **settings | {"max_iters": 3}))
    began = ("--resume", "run", "--shard", "--max-iters", "100000", "--no-tui")
    with two(tmp_path, *began, restarts=1) as process:
        until(process, run, lambda h: h.iteration >= ITERATIONS)
        asked = [Request(verb=verb) for verb in ("evaluate", "sample", "save")]
        for request in asked:
            send(run, request)
        done = {request.id for request in asked}
        until(
            process, run, lambda h: done <= {i for i, c in h.commands.items() if c.status == "done"}
        )
        kill_while(process, 1, lambda: list((run / "state").glob(".*.part")))
        until(process, run, lambda h: len(h.resumes) == 2 and h.iteration > h.resumes[1].iteration)
        send(run, Request(verb="stop"))
        code, _, err = finish(process)
    assert code == 0 and "another process of this training was lost; the last saved state" in err
    history = load(run)[0]
    assert history.end is not None and history.end.reason == "stopped by command"
    last = history.end.iteration
    session.resume(run, max_iters=last + 1)
    history, problems = load(run)
    assert not problems and history.resumes[2].iteration == last
    assert [r.config["shard"] for r in history.resumes] == [True, True, False]
    whole = tmp_path / "whole"
    session.finetune(tiny_config(text_file, whole, **settings | {"max_iters": last + 1}))
    alone = load(whole)[0]
    same(alone.progress, history.progress, "loss")
    same(alone.steps, history.steps, "loss")
    same(alone.evals, {k: history.evals[k] for k in alone.evals}, "val_loss")


def test_the_estimate_of_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    config = FinetuneConfig(
        batch_size=1, gradient_accumulation_steps=4, block_size=128, shard=True, memory="auto"
    )
    shape = GPTConfig(n_layer=10, n_head=12, n_embd=768, block_size=64, vocab_size=4096)
    measured = 1086 << 20  # peak of either of two processes, docs/lab-log.md
    assert memory.estimate(shape, config, processes=2).total == pytest.approx(measured, rel=0.05)
    whole = replace(config, shard=False)
    assert memory.estimate(shape, config) == memory.estimate(shape, whole), "one has all of it"
    low = memory.estimate(shape, config, "low", processes=2)
    assert low.traffic == 0 and low.total < measured, "the moments stay in the processes"


def test_two_processes_make_the_updates_of_muon_too(
    shakegpt: Commands, tmp_path: Path, text_file: Path
) -> None:
    few = SETTINGS | {"optimizer": "muon", "max_iters": 3, "max_new_tokens": 0}
    session.finetune(tiny_config(text_file, tmp_path / "alone", **few))
    config = tiny_config(text_file, tmp_path / "two", **few)
    for process in pair(shakegpt, tmp_path, *as_flags(config)):
        code, _, err = finish(process)
        assert code == 0, err
    one, other = (load(tmp_path / name)[0] for name in ("alone", "two"))
    # sums in another order, which its products in bfloat16 magnify
    same(one.steps, other.steps, "loss", within=2e-4)
    same(one.evals, other.evals, "val_loss", within=2e-4)


REFUSED: list[dict[str, Any]] = [
    {"lora_rank": 4},
    {"dtype": "float16"},
    {"compile": "on"},
    {"optimizer": "muon"},
    {},
]


@pytest.mark.parametrize("other", REFUSED)
def test_what_does_not_go_with_shares_is_refused(
    other: dict[str, Any], tmp_path: Path, text_file: Path
) -> None:
    config = tiny_config(text_file, tmp_path / "run", shard=True, **other)
    with pytest.raises(ShakegptError, match=r"^--shard ") as refused:
        session.finetune(config)
    assert refused.value.exit_code == 2 and not (tmp_path / "run").exists()


def test_a_file_laid_out_here_is_the_librarys(tmp_path: Path) -> None:
    tensors = {"b.c": torch.arange(6.0).view(2, 3), "a": torch.ones(5), "b.a": torch.zeros(2, 1)}
    save_file(tensors, tmp_path / "library", {"format": "pt"})
    odd = tensors | {"b.c": tensors["b.c"].T.contiguous().T}  # the same numbers in another order
    digest = tensorfile.write(odd, tmp_path / "own", {"format": "pt"})
    assert (tmp_path / "own").read_bytes() == (tmp_path / "library").read_bytes()
    assert digest == sha256(tmp_path / "own")


def test_a_restarted_team_meets_apart_from_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """One store for all starts, in which launchers of two nodes count restarts each for itself."""
    common = dist.HashStore()  # type: ignore[attr-defined]
    monkeypatch.setattr(rendezvous, "store", lambda: common)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    common.set("came/2", "killed before it was called")
    with ThreadPoolExecutor(3) as processes:
        for start in range(2):
            met = [processes.submit(rendezvous._rendezvous, rank, 3) for rank in (0, 2, 1)]
            places = [place.result(PATIENCE) for place in met]
            places[0].set("here", str(start))
            assert [place.get("here") for place in places] == [str(start).encode()] * 3
            assert start == 0 or not places[0].check(["there"]), "of the start before"
            places[0].set("there", "yes")


def test_a_restarted_job_knows_its_run(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    assert env.job() is None and env.earlier_attempt(None) is None and not env.launched()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    name = env.job()
    assert name is not None and f":{os.getppid()}:" in name and env.launched()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night-7")
    run = session.finetune(tiny_config(text_file, Path("runs/one"), max_iters=1))
    header = read(run / LOG_NAME)[0][0]
    assert isinstance(header, Run) and header.world is not None
    assert (header.world.processes, header.world.job) == (1, "night-7")
    assert env.earlier_attempt(None) is None, "a name that is used again begins a new run"
    with pytest.raises(ShakegptError, match="--out-dir runs/one"):
        session.finetune(tiny_config(text_file, Path("runs/one"), max_iters=1))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert env.earlier_attempt(None) == Path("runs/one") == env.earlier_attempt("runs/one")
    assert env.earlier_attempt("runs/other") is None
    records = len(read(run / LOG_NAME)[0])
    assert session.finetune(tiny_config(text_file, Path("runs/one"), max_iters=1)) == run
    assert len(read(run / LOG_NAME)[0]) == records, "it is finished: nothing is left to do"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night-8")
    assert env.earlier_attempt("runs/one") is None
