"""Commands to a trainer at work: each is carried out at its place, and answered."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shakegpt.errors import Stopped
from shakegpt.runlog import schema
from shakegpt.runlog.control import Inbox, Request, send
from shakegpt.runlog.history import History
from shakegpt.runlog.schema import (
    Checkpoint,
    Command,
    End,
    Eval,
    Heartbeat,
    Resume,
    Run,
    Sample,
    Step,
)
from shakegpt.session import finetune, resume
from shakegpt.train.guarded_optimizer import GuardedOptimizer
from shakegpt.train.supervisor import POLL_SECONDS, Supervisor
from tests.commands import ROOT
from tests.tiny import Listener, commanded, kinds, tiny_config


def answers(records: list[schema.Event]) -> list[tuple[str, str]]:
    return [(e.verb, e.status) for e in kinds(records, Command)]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not come within 10 s")


def test_commands_are_carried_out_and_answered(tmp_path: Path, text_file: Path) -> None:
    records, error = commanded(
        text_file,
        tmp_path,
        (1, Request(verb="save")),
        (1, Request(verb="evaluate")),
        (2, Request(verb="sample", prompt="HAMLET:", max_new_tokens=3, temperature=0.0)),
        (4, Request(verb="max_iters", max_iters=5)),
    )
    assert error is None
    assert answers(records) == [
        ("save", "accepted"),
        ("evaluate", "accepted"),
        ("save", "done"),
        ("evaluate", "done"),
        ("sample", "accepted"),
        ("sample", "done"),
        ("max_iters", "accepted"),
        ("max_iters", "done"),
    ]
    assert [e.iteration for e in kinds(records, Eval)] == [0, 1, 3, 5]
    asked = next(e for e in kinds(records, Sample) if e.requested)
    assert (asked.iteration, asked.prompt, asked.settings.temperature) == (2, "HAMLET:", 0)
    assert asked.settings.max_new_tokens == 3 and asked.settings.top_k == 200
    assert kinds(records, Step)[-1].iteration == 5 == kinds(records, End)[0].iteration
    assert [e.iteration for e in kinds(records, Checkpoint) if e.kind == "last"] == [1, 3, 5]


def test_more_iterations_can_be_asked_for(tmp_path: Path, text_file: Path) -> None:
    records, _ = commanded(text_file, tmp_path, (2, Request(verb="max_iters", max_iters=8)))
    assert [e.iteration for e in kinds(records, Eval)] == [0, 3, 6, 8]
    assert History().extend(records).max_iters == 8


def test_a_limit_already_passed_ends_the_run_with_an_evaluation(
    tmp_path: Path, text_file: Path
) -> None:
    records, _ = commanded(text_file, tmp_path, (4, Request(verb="max_iters", max_iters=2)))
    end, history = kinds(records, End)[0], History().extend(records)
    assert end.status == "finished"
    assert kinds(records, Eval)[-1].iteration == end.iteration == history.iteration
    assert history.max_iters == end.iteration


def test_commands_that_make_no_sense_are_refused(tmp_path: Path, text_file: Path) -> None:
    records, error = commanded(
        text_file,
        tmp_path,
        (1, Request(verb="max_iters")),
        (1, Request(verb="max_iters", max_iters=-5)),
        (2, Request(verb="sample", temperature=-1.0)),
        (3, Request(verb="sample", max_new_tokens=-2)),
        (4, Request(verb="sample", top_p=7.0)),
        (4, Request(verb="sample", seed=-1)),
        tokenizer="char",
        prompt="ROMEO:",
    )
    assert error is None
    refused = [e for e in kinds(records, Command) if e.status == "refused"]
    assert len(refused) == 6 and all(e.message for e in refused)
    assert kinds(records, Step)[-1].iteration == 6


def test_a_prompt_that_cannot_be_spelled_does_not_end_the_run(
    tmp_path: Path, text_file: Path
) -> None:
    request = Request(verb="sample", prompt="¡Ω!")
    records, error = commanded(text_file, tmp_path, (2, request), tokenizer="char")
    assert error is None
    assert answers(records) == [("sample", "accepted"), ("sample", "refused")]
    assert "'" in kinds(records, Command)[-1].message


def test_a_command_is_heard_from_the_first_record_on(tmp_path: Path, text_file: Path) -> None:
    """Whoever reads it may send one, though the trainer is still loading."""
    run, limits, heard = tmp_path / "run", iter([2, 4]), threading.Event()

    def listen(event: schema.Event) -> None:
        if isinstance(event, Run | Resume):
            heard.clear()
            send(run, Request(verb="max_iters", max_iters=next(limits)))
        if isinstance(event, Command):
            heard.set()
        if isinstance(event, Step):
            assert heard.wait(10), "was not heard"

    log = Listener(listen)
    finetune(tiny_config(text_file, run), log)
    resume(run, 6, log)
    assert answers(log.records) == [("max_iters", "accepted"), ("max_iters", "done")] * 2
    assert [e.iteration for e in kinds(log.records, End)] == [2, 4]


def test_pause_and_resume(tmp_path: Path, text_file: Path) -> None:
    run = tmp_path / "run"
    paused, working = threading.Event(), threading.Event()
    phases = []

    def listen(event: schema.Event) -> None:
        if isinstance(event, Step) and event.iteration == 2:
            working.set()
            send(run, Request(verb="pause"))
            assert paused.wait(10)
            time.sleep(0.1)  # for the heartbeat that follows the answer
            working.clear()
        if isinstance(event, Heartbeat):
            phases.append((event.phase, working.is_set()))
        if isinstance(event, Command) and event.verb == "pause":
            paused.set()
            threading.Timer(0.4, send, (run, Request(verb="resume"))).start()

    log = Listener(listen)
    finetune(tiny_config(text_file, run), log)
    assert answers(log.records) == [("pause", "done"), ("resume", "done")]
    assert ("paused", False) in phases and ("paused", True) not in phases
    at = {e.verb: e.time for e in kinds(log.records, Command)}
    during = [e for e in kinds(log.records, Step) if at["pause"] < e.time < at["resume"]]
    assert not during and kinds(log.records, Step)[-1].iteration == 6
    second, third = kinds(log.records, Step)[1:3]
    assert third.time - second.time - third.seconds > POLL_SECONDS, "the pause is no work"
    assert third.tokens_per_second == pytest.approx(2 * 4 * 32 / third.seconds)


def test_the_clock_of_work_stands_still_in_a_pause_and_while_obeying(tmp_path: Path) -> None:
    driver, obeyed = Supervisor(Listener(), Inbox(tmp_path), signals=False), 0.0
    with driver:
        send(tmp_path, Request(verb="pause"))
        wait_until(lambda: driver._paused)
        threading.Timer(0.3, send, (tmp_path, Request(verb="resume"))).start()
        passed, worked = time.monotonic(), driver.clock()
        driver.check()
        passed, worked = time.monotonic() - passed, driver.clock() - worked
        assert passed > 0.25 and worked < passed / 2
        send(tmp_path, Request(verb="save"))
        wait_until(lambda: bool(driver._requests))
        before = driver.clock()
        for _ in driver.requests():
            began = driver.clock()
            time.sleep(0.1)
            obeyed = driver.clock() - began
        assert obeyed > 0.09, "what is obeyed measures itself"
        assert driver.clock() - before < obeyed


def test_a_stop_in_the_last_moment_before_an_update_keeps_that_update(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is saved beside the computation, one iteration too early: then once more."""
    run, saved = tmp_path / "run", threading.Event()
    log = Listener(lambda event: saved.set() if isinstance(event, Checkpoint) else None)
    step, steps = GuardedOptimizer.step, 0

    def late(optimizer: GuardedOptimizer) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            send(run, Request(verb="stop"))
            assert saved.wait(10)
        step(optimizer)

    monkeypatch.setattr(GuardedOptimizer, "step", late)
    with pytest.raises(Stopped):
        finetune(tiny_config(text_file, run), log)
    assert [e.iteration for e in kinds(log.records, Checkpoint)] == [1, 2]
    assert kinds(log.records, End)[0].iteration == 2 == kinds(log.records, Step)[-1].iteration


def test_a_log_that_fails_in_the_listener_ends_the_run(tmp_path: Path, text_file: Path) -> None:
    """The answer to `pause` is written by the listener thread."""

    def fail(event: schema.Event) -> None:
        if isinstance(event, Step) and event.iteration == 1:
            send(tmp_path / "run", Request(verb="pause"))
        if isinstance(event, Command):
            raise ValueError("broken console")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="broken console"):
        finetune(tiny_config(text_file, tmp_path / "run", max_iters=40), Listener(fail))


def test_signals_are_handled_whatever_other_ones_arrive() -> None:
    code = """if True:
        import os, signal, time
        from types import SimpleNamespace
        from shakegpt.errors import Stopped
        from shakegpt.train.supervisor import Supervisor
        other = signal.SIGRTMIN + 1  # a number without a name in the signal module
        signal.signal(other, lambda *_: None)
        log = SimpleNamespace(write=lambda event: None)
        with Supervisor(log, SimpleNamespace(poll=lambda: [])) as supervisor:
            for number in (other, signal.SIGTERM):
                os.kill(os.getpid(), number)
                time.sleep(0.3)
            try:
                supervisor.check()
            except Stopped as stopped:
                print(stopped.exit_code)
            supervisor.finish_saving()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "143\n", done.stderr


def test_stop_saves_and_leaves(tmp_path: Path, text_file: Path) -> None:
    records, stopped = commanded(text_file, tmp_path, (2, Request(verb="stop")))
    assert isinstance(stopped, Stopped) and stopped.exit_code == 0
    assert answers(records) == [("stop", "accepted"), ("stop", "done")]
    end = kinds(records, End)[0]
    assert (end.status, end.iteration) == ("stopped", 2)
    assert (tmp_path / "run/state/000002/manifest.json").exists()
    assert records[-1] is end
