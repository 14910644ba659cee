"""The loop, on a model that trains in a second: what it writes, in which order; that it learns."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from shakegpt import checkpoint, events
from shakegpt import finetune as loop
from shakegpt.checkpoint import POCKET
from shakegpt.config import FinetuneConfig
from shakegpt.control import Request, send
from shakegpt.driver import Stopped
from shakegpt.errors import ShakegptError
from shakegpt.events import Checkpoint, Command, End, Eval, Heartbeat, Progress, Sample, Step, Token
from shakegpt.history import History
from shakegpt.model import GPT
from shakegpt.optimizer import learning_rate, make_optimizer
from shakegpt.runlog import LOG_NAME, read
from shakegpt.session import finetune, resume
from shakegpt.tokenizer import Tokenizer
from tests.tiny import Listener, copy_vocabulary, random_model, tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A finished run: 6 iterations of 2 micro-steps, evaluated at 0, 3 and 6."""
    return finetune(tiny_config(text_file, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def records(run: Path) -> list[events.Event]:
    found, problems = read(run / LOG_NAME)
    assert not problems
    return found


def kinds(records: list[events.Event], kind: type[Any]) -> list[Any]:
    return [e for e in records if isinstance(e, kind)]


def test_six_iterations_are_six_updates(records: list[events.Event]) -> None:
    assert [e.iteration for e in kinds(records, Step)] == [1, 2, 3, 4, 5, 6]
    progress = [(e.iteration, e.micro_step, e.micro_steps) for e in kinds(records, Progress)]
    assert progress == [(k, m, 2) for k in range(1, 7) for m in (1, 2)]
    assert [e.tokens for e in kinds(records, Progress)] == [128 * n for n in range(1, 13)]


def test_a_steps_loss_is_the_mean_of_its_micro_batches(records: list[events.Event]) -> None:
    for step in kinds(records, Step):
        parts = [e.loss for e in kinds(records, Progress) if e.iteration == step.iteration]
        assert step.loss == pytest.approx(sum(parts) / 2)
        assert step.tokens_per_second == pytest.approx(256 / step.seconds)
        assert step.learning_rate == 1e-2 and step.memory > 1 << 20


def test_evaluations_stand_at_their_iterations(records: list[events.Event]) -> None:
    evals = kinds(records, Eval)
    assert [e.iteration for e in evals] == [0, 3, 6]
    assert [e.best for e in evals] == [True, True, True]
    assert evals[0].val_loss > evals[1].val_loss > evals[2].val_loss
    assert evals[0].val_loss == pytest.approx(math.log(len(tokens_of_pocket())), rel=0.02)
    header = kinds(records, events.Run)[0]
    assert {e.tokens for e in evals} == {header.dataset.eval_tokens}
    assert header.dataset.eval_whole and header.dataset.eval_tokens == header.dataset.val_tokens - 1


def tokens_of_pocket() -> dict[str, int]:
    vocabulary: dict[str, int] = json.loads((POCKET / "vocab.json").read_text("utf-8"))
    return vocabulary


def test_the_loss_falls(records: list[events.Event]) -> None:
    losses = [e.loss for e in kinds(records, Step)]
    assert losses[-1] < losses[0] - 1


def test_the_state_is_saved_before_evaluating_and_sampling(records: list[events.Event]) -> None:
    order = [
        (type(e).__name__, getattr(e, "kind", ""))
        for e in records
        if getattr(e, "iteration", None) == 3 and isinstance(e, Checkpoint | Eval | Sample)
    ]
    expected = [("Checkpoint", "last"), ("Eval", ""), ("Checkpoint", "best"), ("Sample", "")]
    assert order == expected


def test_samples_are_whole(records: list[events.Event]) -> None:
    samples = kinds(records, Sample)
    assert [(s.iteration, s.sample, s.asked) for s in samples] == [
        (0, 0, False),
        (3, 1, False),
        (6, 2, False),
    ]
    for view in History().extend(records).samples:
        assert view.complete and view.end is not None and view.end.tokens == len(view.tokens)
        assert view.text == view.end.text.removesuffix("\ufffd") or "\ufffd" in view.end.text
        assert [t.index for t in view.tokens] == list(range(len(view.tokens)))
        assert "".join(text for _, text in view.start.prompt_tokens) == "ROMEO:"


def test_the_header_tells_all(run: Path, records: list[events.Event]) -> None:
    header = records[0]
    assert isinstance(header, events.Run)
    assert header.run_id == run.name and header.seed == 1337 and header.threads == 1
    assert header.model.n_params == checkpoint.read_config(run / "model").n_params
    assert (header.device, header.dtype) == ("cpu", "float32") and header.dtype_reason
    assert {"shakegpt", "torch", "python"} <= header.versions.keys()
    assert header.memory.total > 1 << 28 and header.seconds is not None
    assert header.dataset.speakers == ("HAMLET", "JULIET", "OPHELIA", "ROMEO")
    assert FinetuneConfig(**header.config) == tiny_config(
        Path(header.config["dataset"][0]), Path(header.config["out_dir"])
    )


def test_every_kind_of_record_is_written(records: list[events.Event]) -> None:
    written = {type(e) for e in records}
    assert written == {
        events.Run, Progress, Step, Eval, Sample, Token, events.SampleEnd, Checkpoint,
        Heartbeat, End,
    }  # fmt: skip


def test_the_end_is_the_last_word(records: list[events.Event]) -> None:
    end = records[-1]
    assert isinstance(end, End) and (end.status, end.iteration) == ("finished", 6)
    assert end.best_val_loss == min(e.val_loss for e in kinds(records, Eval))
    assert end.wall_seconds > 0


def test_the_run_directory_holds_what_it_should(run: Path) -> None:
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    model = {"config.json", "generation_config.json", "merges.txt", "model.safetensors"}
    model |= {"tokenizer_config.json", "vocab.json", "sha256.json"}
    state = {"manifest.json", "optimizer.safetensors", "weights.safetensors"}
    assert found == {
        LOG_NAME,
        *(f"model/{name}" for name in model),
        *(f"state/{k}/{name}" for k in ("000003", "000006") for name in state),
    }


def test_checkpoints_say_their_size_and_place(run: Path, records: list[events.Event]) -> None:
    for event in kinds(records, Checkpoint):
        path = run / event.path
        assert path.is_dir() and event.bytes > 4 * 4096 * 32
    last = kinds(records, Checkpoint)[-1]
    assert last.bytes == (run / "model/model.safetensors").stat().st_size


def test_the_best_model_is_kept_not_the_last(tmp_path: Path, text_file: Path) -> None:
    config = tiny_config(
        text_file, tmp_path / "run", learning_rate=3.0, max_iters=4, eval_interval=1, grad_clip=None
    )
    log = Listener()
    finetune(config, log)
    evals = kinds(log.records, Eval)
    best = min(evals, key=lambda e: e.val_loss)
    assert best.iteration < 4, "the rate was not wild enough for this test"
    written = [e.iteration for e in kinds(log.records, Checkpoint) if e.kind == "best"]
    assert written == [e.iteration for e in evals if e.best and e.iteration > 0]
    assert kinds(log.records, End)[0].best_val_loss == best.val_loss


def test_evaluation_and_samples_change_no_training(tmp_path: Path, text_file: Path) -> None:
    losses = []
    for n, changes in enumerate(({"eval_interval": 1}, {"eval_interval": 6, "max_new_tokens": 0})):
        log = Listener()
        config = tiny_config(text_file, tmp_path / str(n), dropout=0.2, **changes)
        finetune(config, log)
        losses.append([e.loss for e in kinds(log.records, Step)])
    assert losses[0] == losses[1]


def test_accumulation_adds_up_to_one_batch(tmp_path: Path, text_file: Path) -> None:
    losses = []
    for size, accumulate in ((8, 1), (4, 2), (1, 8)):
        log = Listener()
        config = tiny_config(
            text_file,
            tmp_path / str(size),
            batch_size=size,
            gradient_accumulation_steps=accumulate,
            max_iters=3,
            max_new_tokens=0,
        )
        finetune(config, log)
        losses.append([e.loss for e in kinds(log.records, Step)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] == pytest.approx(losses[2], abs=1e-5)


def test_no_iteration_at_all_measures_the_checkpoint(tmp_path: Path, text_file: Path) -> None:
    log = Listener()
    run = finetune(tiny_config(text_file, tmp_path / "run", max_iters=0), log)
    assert [e.iteration for e in kinds(log.records, Eval)] == [0]
    assert not kinds(log.records, Step) and kinds(log.records, End)[0].status == "finished"
    assert not (run / "state").exists()


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    plain = FinetuneConfig(learning_rate=1.0)
    assert {learning_rate(plain, k) for k in range(1, 30)} == {1.0}
    config = FinetuneConfig(
        learning_rate=1.0, decay_lr=True, warmup_iters=4, max_iters=14, min_lr=0.1
    )
    rates = [learning_rate(config, k) for k in range(1, 18)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[8] == pytest.approx(0.55), "half-way along the cosine"
    assert rates[13:] == pytest.approx([0.1] * 4)
    assert rates[4:14] == sorted(rates[4:14], reverse=True)


def poisoned(text: Path, folder: Path) -> FinetuneConfig:
    """A run from a checkpoint with an embedding that is not a number, of a rare token."""
    vocabulary = Tokenizer(POCKET)
    model = random_model(
        n_layer=1, n_head=2, n_embd=16, block_size=32, vocab_size=vocabulary.n_vocab
    )
    start = copy_vocabulary(folder / "start")
    checkpoint.save(model, start, vocabulary, 0)
    (start / "sha256.json").unlink()  # it is spoiled on purpose
    return tiny_config(text, folder / "run", init_from=str(start), block_size=None)


def test_a_loss_that_is_no_number_stops_before_the_update(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk, calls = GPT.trunk, 0

    def failing(self: GPT, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal calls
        x = trunk(self, *args, **kwargs)
        if self.training:
            calls += 1
        return x * math.nan if calls == 8 else x  # micro-step 2 of iteration 4

    monkeypatch.setattr(GPT, "trunk", failing)
    log, run = Listener(), tmp_path / "run"
    with pytest.raises(ShakegptError) as failed:
        finetune(tiny_config(text_file, run), log)
    sentence = str(failed.value)
    assert failed.value.exit_code == 1
    assert "iteration 4, micro-step 2" in sentence and "window" in sentence
    assert "state of iteration 3 is kept" in sentence
    assert kinds(log.records, Step)[-1].iteration == 3
    assert kinds(log.records, Progress)[-1].loss is None or math.isnan(
        kinds(log.records, Progress)[-1].loss
    )
    written = kinds(read(run / LOG_NAME)[0], Progress)[-1]
    assert (written.iteration, written.micro_step, written.loss) == (4, 2, None)
    end = kinds(log.records, End)[0]
    assert (end.status, end.iteration) == ("failed", 3) and end.reason == sentence
    monkeypatch.undo()
    whole = Listener()
    resume(run, log=whole)
    assert kinds(whole.records, Step)[-1].iteration == 6


def test_a_gradient_that_is_no_number_stops_before_the_update(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_, **__: torch.tensor(math.inf))
    log = Listener()
    with pytest.raises(ShakegptError, match=r"gradient's norm is inf in iteration 1"):
        finetune(tiny_config(text_file, tmp_path / "run"), log)
    assert not kinds(log.records, Step)


def test_a_model_of_no_numbers_fails_with_a_sentence(tmp_path: Path, text_file: Path) -> None:
    config = poisoned(text_file, tmp_path)
    from safetensors.torch import load_file, save_file

    path = tmp_path / "start/model.safetensors"
    save_file({n: t * math.nan for n, t in load_file(path).items()}, path)
    log = Listener()
    with pytest.raises(ShakegptError, match="not finite numbers"):
        finetune(config, log)
    assert kinds(log.records, End)[0].status == "failed"
    found, problems = read(tmp_path / "run" / LOG_NAME)
    assert not problems and kinds(found, Eval)[0].val_loss is None


def commanded(
    text: Path, folder: Path, *requests: tuple[int, Request], **changes: Any
) -> tuple[list[events.Event], BaseException | None]:
    """The records of a run that is told each request when it has made that many updates.

    The listener waits until the trainer's ears have heard it, so that its place is certain.
    """
    import threading

    run, heard = folder / "run", threading.Event()
    waiting = dict((k, [r for at, r in requests if at == k]) for k, _ in requests)

    def listen(event: events.Event) -> None:
        if isinstance(event, Command):
            heard.set()
        if isinstance(event, Step):
            for request in waiting.pop(event.iteration, []):
                heard.clear()
                send(run, request)
                assert heard.wait(10), f"{request} was not heard"

    log = Listener(listen)
    try:
        finetune(tiny_config(text, run, **changes), log)
    except (Stopped, ShakegptError) as error:
        return log.records, error
    return log.records, None


def answers(records: list[events.Event]) -> list[tuple[str, str]]:
    return [(e.verb, e.status) for e in kinds(records, Command)]


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
    asked = next(e for e in kinds(records, Sample) if e.asked)
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


def test_pause_and_resume(tmp_path: Path, text_file: Path) -> None:
    import threading

    run = tmp_path / "run"
    paused, phases = threading.Event(), []

    def listen(event: events.Event) -> None:
        if isinstance(event, Step) and event.iteration == 2:
            send(run, Request(verb="pause"))
            assert paused.wait(10)
        if isinstance(event, Heartbeat):
            phases.append(event.phase)
        if isinstance(event, Command) and event.verb == "pause":
            paused.set()
            threading.Timer(0.4, send, (run, Request(verb="resume"))).start()

    log = Listener(listen)
    finetune(tiny_config(text_file, run), log)
    assert answers(log.records) == [("pause", "done"), ("resume", "done")]
    assert "paused" in phases
    at = {e.verb: e.time for e in kinds(log.records, Command)}
    during = [e for e in kinds(log.records, Step) if at["pause"] < e.time < at["resume"]]
    assert not during and kinds(log.records, Step)[-1].iteration == 6


def test_stop_saves_and_leaves(tmp_path: Path, text_file: Path) -> None:
    records, stopped = commanded(text_file, tmp_path, (2, Request(verb="stop")))
    assert isinstance(stopped, Stopped) and stopped.exit_code == 0
    assert answers(records) == [("stop", "accepted"), ("stop", "done")]
    end = kinds(records, End)[0]
    assert (end.status, end.iteration) == ("stopped", 2)
    assert (tmp_path / "run/state/000002/manifest.json").exists()
    assert records[-1] is end


def test_heartbeats_come_while_a_step_takes_long(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setattr("shakegpt.driver.HEARTBEAT_SECONDS", 0.1)
    log = Listener(lambda e: time.sleep(0.6) if isinstance(e, Progress) else None)
    config = tiny_config(text_file, tmp_path / "run", max_iters=1, max_new_tokens=0)
    finetune(config, log)
    first, last = (kinds(log.records, Progress)[n].time for n in (0, -1))
    assert sum(first < e.time < last for e in kinds(log.records, Heartbeat)) >= 2


def test_a_state_is_saved_between_distant_evaluations(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    log = Listener()
    finetune(tiny_config(text_file, tmp_path / "run", eval_interval=6), log)
    saved = [e.iteration for e in kinds(log.records, Checkpoint) if e.kind == "last"]
    assert saved == [1, 2, 3, 4, 5, 6]


def test_weights_decay_in_matrices_only() -> None:
    model = random_model(n_layer=2, n_head=2, n_embd=16, block_size=8, vocab_size=20)
    decayed, plain = make_optimizer(model, FinetuneConfig(weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3 and plain["weight_decay"] == 0
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))
