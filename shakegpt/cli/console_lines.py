"""Records of a run as lines for the console: header, iterations, evaluations, samples, the end."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from shakegpt import format
from shakegpt.config.bounds import words
from shakegpt.format import bits, counted, duration, parameters, rate, size, throughput
from shakegpt.hardware.memory import available_memory
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import bits_per_character, epochs, longest_copy
from shakegpt.sanitize import one_line, printable

loss = partial(format.loss, missing="not finite")


def opening(run: ev.Run) -> list[str]:
    """Model, text and device of a run, and the memory and time it needs."""
    model, data, processes = run.model, run.dataset, run.world.processes if run.world else 1
    evaluated = "all of them" if data.eval_whole else f"{data.eval_tokens:,} of them"
    iterations, repeated = run.config.get("max_iters"), ""
    if isinstance(iterations, int) and (times := epochs(run, iterations)) is not None:
        number = f"{times:.2g}" if times < 10 else f"{times:,.0f}"
        repeated = (
            f", {number} epoch{'' if number == '1' else 's'} in {counted(iterations, 'iteration')}"
        )
    lines = [
        f"{run.run_id}: {model.name}, {parameters(model.n_params)} parameters, {model.n_layer} "
        f"blocks, on {one_line(data.name, 60)}",
        f"{data.train_tokens:,} training tokens{repeated}; val loss over {data.val_tokens:,}, "
        f"{evaluated}",
        f"{run.device} ({run.device_reason}), {run.dtype} ({run.dtype_reason}), "
        f"{counted(run.threads, 'thread')}",
        *(one_line(note, 300) for note in data.notes),
    ]
    if run.compiled is not None:
        lines.append(f"{'compiled' if run.compiled else 'not compiled'} ({run.compile_reason})")
    if processes > 1:
        lines.append(f"{processes} processes share each iteration")
    if isinstance(rank := run.config.get("lora_rank"), int):
        trained = parameters(run.memory.gradients // 4)
        lines.append(f"LoRA of rank {rank}: {trained} parameters are trained, the others frozen")
    each = " per process" if processes > 1 else ""
    time = "" if run.seconds is None else f" and {duration(run.seconds)} of time"
    lines.append(f"needs about {size(run.memory.total)} of memory{each}{time}")
    if run.memory.row == "low":
        line = "memory low: activations are computed twice"
        if run.memory.traffic:  # not with --shard
            line += f", and {size(run.memory.traffic)} of moments are read from and written to "
            line += "the run's disk each iteration"
        lines.append(line)
    if run.memory.row == "lowest":
        lines.append(
            "memory lowest: one block in memory at a time, all else in files; "
            f"{size(run.memory.traffic)} are read from and written to the run's disk each "
            "iteration"
        )
    if run.memory.disk and run.memory.row != "normal":
        lines.append(f"needs up to {size(run.memory.disk)} of disk")
    available = available_memory()
    if run.device == "cpu" and run.memory.total > available:
        lines.append(
            f"warning: this machine has {size(available)} free: lower --batch-size or "
            "--block-size, or use a smaller --init-from"
        )
    return lines


def step_line(history: History, step: ev.Step, eta: float | None) -> str:
    """One iteration in one line."""
    left = "" if eta is None else f"  eta {duration(eta)}"
    return (
        f"iter {step.iteration}/{history.max_iters}  loss {loss(step.loss)}  "
        f"lr {rate(step.learning_rate)}  {throughput(step.tokens_per_second)}  "
        f"{size(step.memory)}{left}"
    )


def eval_line(history: History, event: ev.Eval) -> str:
    """One evaluation in one line."""
    first = history.first_eval
    line = f"eval {event.iteration}/{history.max_iters}  val loss {loss(event.val_loss)}"
    if (per_character := _per_character(event)) is not None:
        line += f"  {bits(per_character)}"
    if event.val_loss is None or first is None or first.val_loss is None:
        return line
    change = event.val_loss / first.val_loss - 1
    best = "" if event.best else f"  (best {loss(_best(history))})"
    return line + (f"  {change:+.1%} from the start{best}" if event.iteration else "")


def _per_character(event: ev.Eval) -> float | None:
    return bits_per_character(event.val_loss, event.tokens, event.characters)


def _best(history: History) -> float | None:
    best = history.best_eval
    return best.val_loss if best is not None else None


def status_line(history: History, eta: float | None) -> str:
    """The run at a glance."""
    step = next(reversed(history.steps.values()), None)
    beat = history.heartbeat
    latest = history.evals[max(history.evals)].val_loss if history.evals else None
    words = [
        beat.phase if beat is not None else "starting",
        f"{history.iteration}/{history.max_iters}",
        f"loss {loss(step.loss)}" if step is not None else "",
        f"val {loss(latest)}, best {loss(_best(history))}" if history.evals else "",
        throughput(step.tokens_per_second) if step is not None else "",
        size(beat.memory) if beat is not None else "",
        f"eta {duration(eta)}" if eta is not None else "",
    ]
    return "  ".join(word for word in words if word)


def sample_lines(history: History, event: ev.SampleEnd) -> list[str]:
    """A sample, indented under a line with its iteration."""
    view = next(s for s in reversed(history.samples) if s.start.sample == event.sample)
    text = printable(view.start.prompt + event.text)
    head = f"sample at iteration {event.iteration}:"
    return [head, *("  " + line for line in text.split("\n"))]


def _val_loss(history: History) -> list[str]:
    """The change of val loss from the first evaluation to the best; [] without any."""
    first, best = history.first_eval, history.best_eval
    if first is None or best is None or not first.val_loss or not best.val_loss:
        return []
    last = history.evals[max(history.evals)]
    words = f"val loss {loss(first.val_loss)}"
    if last is first:
        return [f"{words} at iteration {first.iteration}; no evaluation after it"]
    if best is first:
        later = f"{loss(last.val_loss)} at iteration {last.iteration}"
        return [f"{words} at iteration {first.iteration}, not lower since: {later}"]
    drop = 1 - best.val_loss / first.val_loss
    line = f"{words} -> {loss(best.val_loss)} at iteration {best.iteration}, {drop:.1%} lower"
    per_character = _per_character(best)
    return [line if per_character is None else f"{line}, {bits(per_character)}"]


def _longest_copy(history: History) -> list[str]:
    """The longest copy in the samples of a trained model; [] without that record."""
    longest = longest_copy(history)
    if longest is None:
        return []
    if longest == 0:
        return ["no 4 words in a row of its samples stand in the training text"]
    return [f"the longest copy in its samples is {longest} words"]


def changed(history: History) -> list[str]:
    """The settings that the latest resume changed, a line each."""
    records = [record for record in (history.run, *history.resumes) if record is not None]
    before, after = records[-2].config, records[-1].config
    lines = []
    for name, value in after.items():
        values = (before.get(name, value), value)
        old, new = (tuple(v) if isinstance(v, list) else v for v in values)
        if old != new:
            now, was = (one_line(shlex.join(words(name, v)), 200) for v in (new, old))
            lines.append(f"changed: {now} (was {was})")
    return lines


def summary(history: History, end: ev.End, run_dir: Path | None = None) -> list[str]:
    """How the run ended, where the model is, and the next command.

    `run_dir` is the directory of a resumed run; that of a new one is in its header.
    """
    run = history.run
    lines = [f"{end.status}: {printable(end.reason)}, after {duration(history.wall_seconds)}"]
    lines += _val_loss(history) + _longest_copy(history)
    if run is None:
        return lines
    path = shlex.quote(str(run_dir or run.config.get("out_dir") or f"runs/{run.run_id}"))
    if any(c.kind == "best" for c in history.checkpoints):
        lines += [f"the model is in {path}/model; sample with:", f"  shakegpt sample {path}"]
    if end.status == "finished":
        return [*lines, f"  shakegpt figures {path}", f"  shakegpt claims {path}"]
    return [*lines, "continue with:", f"  shakegpt finetune --resume {path}"]
