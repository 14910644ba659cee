"""A run that was stopped or killed anywhere goes on to the very numbers of one that never was."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from shakegpt.errors import ShakegptError, Stopped
from shakegpt.files import SUMS
from shakegpt.finetune import Finetuning
from shakegpt.runlog import schema
from shakegpt.runlog.control import Request, send
from shakegpt.runlog.history import History, load
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt.runlog.schema import Checkpoint, Command, Eval, Progress, Step
from shakegpt.session import finetune, resume
from shakegpt.train import state
from tests.fingerprint import fingerprint
from tests.tiny import Listener, play, tiny_config

ITERATIONS = 6
SETTINGS: dict[str, Any] = {
    "max_iters": ITERATIONS,
    "eval_interval": 2,
    "dropout": 0.2,
    "gradient_accumulation_steps": 3,
    "batch_size": 2,
    "decay_lr": True,
    "warmup_iters": 2,
    "weight_decay": 0.1,
}


def whole(run: Path) -> dict[str, Any]:
    """What `run` comes to, of whose states the last two are there, and nothing else."""
    found = fingerprint(run)
    states = state.saved(run / "state")
    assert states[0].name == f"{ITERATIONS:06d}"
    assert len(states) == len(list((run / "state").iterdir())) == 2
    return found


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> dict[str, Any]:
    """What a run of six iterations comes to that is never stopped."""
    run = tmp_path_factory.mktemp("unstopped") / "run"
    found = whole(finetune(tiny_config(text_file, run, **SETTINGS)))
    assert len(found["steps"]) == ITERATIONS and len(found["samples"]) == 4
    return found


def stop_at(run: Path, iteration: int) -> Listener:
    """A listener that has the run stopped by command after an update, for certain."""
    saved = threading.Event()

    def listen(event: schema.Event) -> None:
        if isinstance(event, Command) and event.status == "done":
            saved.set()
        at = event.iteration if isinstance(event, Step) else -1
        if at == iteration or (iteration == 0 and isinstance(event, Eval) and event.iteration == 0):
            send(run, Request(verb="stop"))
            assert saved.wait(20)

    return Listener(listen)


@pytest.mark.parametrize(
    ("iteration", "memory"), [*((k, "normal") for k in range(ITERATIONS + 1)), (3, "low")]
)
def test_stopped_at_any_iteration(
    iteration: int, memory: str, tmp_path: Path, text_file: Path, unstopped: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        finetune(tiny_config(text_file, run, memory=memory, **SETTINGS), stop_at(run, iteration))
    assert load(run)[0].iteration == iteration
    resume(run)
    assert whole(run) == unstopped


class Killed(BaseException):
    """Stands for a process that is no more: nothing after it is written."""


def killed_at(run: Path, text: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Train, and die at the `number`-th record, as if by SIGKILL; False when it finished first."""
    written, write = 0, RunLog.write

    def dying(self: RunLog, event: schema.Event) -> None:
        nonlocal written
        written += 1
        if written > number:
            raise Killed
        write(self, event)

    with monkeypatch.context() as patched:
        patched.setattr(RunLog, "write", dying)
        try:
            if (run / LOG_NAME).exists():
                resume(run)
            else:
                finetune(tiny_config(text, run, **SETTINGS))
        except Killed:
            return True
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("number", [5, 22, 40])
def test_killed_again_and_again(
    number: int,
    tmp_path: Path,
    text_file: Path,
    unstopped: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, lives = tmp_path / "run", 1
    while killed_at(run, text_file, number + 3 * lives, monkeypatch) and lives < 30:
        lives += 1
    if lives == 30:
        resume(run)
    assert lives > 1 and whole(run) == unstopped


def test_killed_between_an_evaluation_and_its_model(
    tmp_path: Path, text_file: Path, unstopped: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shakegpt.checkpoint import io as checkpoint

    run = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(checkpoint, "save", lambda *_: (_ for _ in ()).throw(Killed()))
        finetune(tiny_config(text_file, run, **SETTINGS))
    history = load(run)[0]
    assert history.evals[2].best and not (run / "model/model.safetensors").exists()
    resume(run)
    assert whole(run) == unstopped


def test_an_asked_evaluation_does_not_make_a_worse_model_best(
    tmp_path: Path, text_file: Path
) -> None:
    run, done = tmp_path / "run", threading.Event()

    def listen(event: schema.Event) -> None:
        if isinstance(event, Command) and (event.verb, event.status) == ("evaluate", "done"):
            send(run, Request(verb="stop"))
        if isinstance(event, Command) and event.verb == "stop" and event.status == "done":
            done.set()
        if isinstance(event, Step) and event.iteration == 3:
            send(run, Request(verb="evaluate"))
            threading.Event().wait(0.4)  # the trainer's ears hear ten times a second
        if isinstance(event, Progress) and event.iteration == 4:
            assert done.wait(10)

    config = tiny_config(text_file, run, eval_interval=20, max_iters=20, max_new_tokens=0)
    with pytest.raises(Stopped):
        finetune(config, Listener(listen))
    assert 3 in load(run)[0].evals
    log = Listener()
    resume(run, max_iters=4, log=log)
    measured = load(run)[0].evals
    last = next(e for e in log.records if isinstance(e, Eval))
    assert last.val_loss is not None and (asked := measured[3].val_loss) is not None
    assert last.best == (last.val_loss < asked)


def test_a_finished_run_goes_on_to_a_higher_limit(
    tmp_path: Path, text_file: Path, unstopped: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    plain = SETTINGS | {"decay_lr": False}
    finetune(tiny_config(text_file, run, **plain | {"max_iters": 4}))
    with pytest.raises(ShakegptError, match=r"finished at iteration 4.*--max-iters"):
        resume(run)
    resume(run, max_iters=6)
    other = finetune(tiny_config(text_file, tmp_path / "other", **plain))
    assert fingerprint(run)["steps"] == fingerprint(other)["steps"]


def stopped_in(folder: Path, text_file: Path) -> Path:
    """A run in `folder` that was stopped after five of six iterations; its text is beside it."""
    run, text = folder / "run", folder / "play.txt"
    shutil.copyfile(text_file, text)
    with pytest.raises(Stopped):
        finetune(tiny_config(text, run, **SETTINGS), stop_at(run, 5))
    assert [path.name for path in state.saved(run / "state")] == ["000005", "000004"]
    return run


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    return stopped_in(tmp_path_factory.mktemp("stopped"), text_file)


@pytest.fixture
def stopped(tmp_path: Path, stopped_once: Path) -> Path:
    """A copy of a stopped run that a test may change, but not its text."""
    shutil.copytree(stopped_once, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_spoiled_state_is_passed_over_and_named(
    stopped: Path, name: str, damage: str, unstopped: dict[str, Any]
) -> None:
    path = stopped / "state/000005" / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    if damage == "gone":
        path.unlink()
    log = Listener()
    resume(stopped, log=log)
    warnings = [e.message for e in log.records if isinstance(e, schema.RunWarning)]
    begun = next(e for e in log.records if isinstance(e, schema.Resume))
    assert begun.iteration == 4 and len(warnings) == 1 and "000005" in warnings[0]
    assert whole(stopped) == unstopped


def test_every_flipped_bit_of_a_manifest_is_found(stopped: Path) -> None:
    path = stopped / "state/000005/manifest.json"
    data = path.read_bytes()
    for at in range(0, len(data) * 8, 11):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        found, complaints = state.newest_intact(stopped / "state")
        assert found is not None and found.name == "000004" and len(complaints) == 1


def test_when_no_state_is_whole_it_starts_over(stopped: Path, unstopped: dict[str, Any]) -> None:
    for path in (stopped / "state").iterdir():
        (path / "weights.safetensors").write_bytes(b"")
    resume(stopped)
    assert whole(stopped) == unstopped


def test_a_half_written_state_is_no_state(stopped: Path, unstopped: dict[str, Any]) -> None:
    shutil.copytree(stopped / "state/000005", stopped / "state/.000006.part")
    resume(stopped)
    found = whole(stopped)
    assert found == unstopped, "and it is cleared away"


def test_what_a_kill_left_of_an_old_state_is_cleared(
    stopped: Path, unstopped: dict[str, Any]
) -> None:
    resume(stopped)
    shutil.copytree(stopped / "state/000005", stopped / "state/000002")
    (stopped / "state/000002/manifest.json").unlink()
    log = (stopped / LOG_NAME).read_bytes().splitlines(keepends=True)
    (stopped / LOG_NAME).write_bytes(b"".join(log[:-1]))
    resume(stopped)
    assert whole(stopped) == unstopped


def test_another_text_is_refused(tmp_path: Path, text_file: Path) -> None:
    stopped = stopped_in(tmp_path, text_file)
    (stopped.parent / "play.txt").write_text(play(60, seed=1))
    before = (stopped / LOG_NAME).read_bytes()
    with pytest.raises(ShakegptError, match="sha256"):
        resume(stopped)
    assert (stopped / LOG_NAME).read_bytes() == before


def test_another_model_is_refused(stopped: Path, tmp_path: Path, text_file: Path) -> None:
    other = finetune(tiny_config(text_file, tmp_path / "other", max_iters=0, n_embd=16))
    for name in ("config.json", SUMS):
        shutil.copyfile(other / "model" / name, stopped / "model" / name)
    with pytest.raises(ShakegptError, match="is not the model"):
        resume(stopped)


def test_a_missing_text_is_told(tmp_path: Path, text_file: Path) -> None:
    stopped = stopped_in(tmp_path, text_file)
    (stopped.parent / "play.txt").unlink()
    with pytest.raises(ShakegptError, match=r"play\.txt"):
        resume(stopped)


def test_a_directory_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShakegptError, match=str(tmp_path)):
        resume(tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    (tmp_path / LOG_NAME).write_text('{"event":"end"}\nnonsense\n')
    with pytest.raises(ShakegptError, match=str(tmp_path)):
        resume(tmp_path)


def test_a_configuration_that_is_none_is_told(stopped: Path) -> None:
    log = stopped / LOG_NAME
    log.write_text(log.read_text().replace('"batch_size":2', '"batch_size":"two"'))
    with pytest.raises(ShakegptError, match="configuration"):
        resume(stopped)


def test_a_run_in_training_is_refused(stopped: Path) -> None:
    with RunLog(stopped / LOG_NAME), pytest.raises(ShakegptError, match=str(stopped)):
        resume(stopped)


def test_a_save_that_takes_long_is_told_under_its_own_iteration(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop saves beside the computation, which may be an update further when it is told."""
    trainings: list[Finetuning] = []
    train, size = Finetuning.train, state.size

    def late(path: Path) -> int:
        trainings[0].supervisor.iteration += 1
        return size(path)

    def watched(training: Finetuning) -> None:
        trainings.append(training)
        train(training)
        monkeypatch.setattr(state, "size", late)
        training.supervisor.iteration = 2
        training.save_state()

    log = Listener()
    monkeypatch.setattr(Finetuning, "train", watched)
    finetune(tiny_config(text_file, tmp_path / "run", max_iters=1), log)
    told = [e for e in log.records if isinstance(e, Checkpoint)][-1]
    assert (told.iteration, told.path) == (2, "state/000002")


def test_a_lower_limit_before_the_first_update_ends_with_an_evaluation(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between_updates = Finetuning.between_updates

    def asked_for_less(job: Finetuning) -> None:
        job.set_max_iters(2)
        between_updates(job)

    monkeypatch.setattr(Finetuning, "between_updates", asked_for_less)
    resume(stopped)
    history = load(stopped)[0]
    assert history.end is not None and history.end.status == "finished"
    assert history.iteration == history.max_iters == max(history.evals) == 5


def test_the_log_of_a_resumed_run_tells_one_story(stopped: Path) -> None:
    resume(stopped)
    history = load(stopped)[0]
    assert len(history.resumes) == 1 and sorted(history.steps) == list(range(1, ITERATIONS + 1))
    assert history.end is not None and history.end.status == "finished"
    kept = [e for e in history.checkpoints if isinstance(e, Checkpoint) and e.kind == "last"]
    assert kept[-1].iteration == ITERATIONS
    assert isinstance(history, History) and history.wall_seconds > 0
