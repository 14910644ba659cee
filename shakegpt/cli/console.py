"""A run without its screen: one live block in a terminal, sparse plain lines everywhere else.

Both take the records of the run log as they are written. When the reader of the output leaves (a
closed terminal, `| head`), training continues without it.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shakegpt import format
from shakegpt.bounds import words
from shakegpt.cli.attended import unattended
from shakegpt.format import bits, duration, parameters, rate, size, throughput
from shakegpt.hardware.memory import available_memory
from shakegpt.runlog import schema as ev
from shakegpt.runlog.eta import finished, time_left
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import bits_per_character, epochs
from shakegpt.sanitize import one_line, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

loss = partial(format.loss, missing="not finite")
REFRESH = 0.25
"""Seconds between redraws of the live block."""
SAMPLE_LINES = 12
"""Lines of the streaming sample in the live block."""


class PlainConsole:
    """A line an iteration and an evaluation; nothing that rewrites a line."""

    def __init__(self, past: History | None = None, run: Path | None = None) -> None:
        """Of a resumed run, what came before and where it is."""
        self.history, self._run = past or History(), run
        self._closed = False
        self._errors: set[str] = set()

    def write(self, event: ev.Event) -> None:
        """Show a record if there is anything to show and somebody still reads.

        An error in showing it is reported once on stderr; it must not end the training.
        """
        self.history.add(event)
        try:
            for line in self.lines(event) if not self._closed else []:
                self.say(line)
        except OSError:  # closed pipe, closed terminal
            self._closed = True
            with suppress(OSError, ValueError), open(os.devnull, "w") as null:
                os.dup2(null.fileno(), sys.stdout.fileno())  # else Python's last flush fails
        except Exception as error:
            self._closed = sys.stdout.closed
            problem = f"cannot show {type(event).__name__}: {error!r}"
            if problem not in self._errors and not self._closed:
                self._errors.add(problem)
                print(f"shakegpt: {one_line(problem, 200)}", file=sys.stderr)

    def say(self, line: str) -> None:
        """Print a line, sanitized."""
        print(printable(line), flush=True)

    def lines(self, event: ev.Event) -> list[str]:
        """The lines to show for a record; [] for most."""
        match event:
            case ev.Run():
                return opening(event)
            case ev.Resume():
                place = f"on {event.device} {event.dtype}"
                return [f"resumed at iteration {event.iteration} {place}", *changed(self.history)]
            case ev.Step():
                return [step_line(self.history, event, time_left(self.history))]
            case ev.Eval():
                return [eval_line(self.history, event)]
            case ev.SampleEnd() if event.complete:
                return sample_lines(self.history, event)
            case ev.Copies() if event.longest:
                return [f"  the longest copy from the text is {event.longest} words"]
            case ev.Advice():
                return [f"  {event.sentence}"]
            case ev.RunWarning():
                return [f"warning: {printable(event.message)}"]
            case ev.Command() if event.status != "accepted":
                return [f"command {event.verb}: {event.status} {printable(event.message)}".rstrip()]
            case ev.End():
                return summary(self.history, event, self._run)
        return []

    def close(self) -> None:
        """Nothing to restore."""


class LiveConsole(PlainConsole):
    """One block at the bottom of the terminal; evaluations stay above it as lines."""

    def __init__(self, past: History | None = None, run: Path | None = None) -> None:
        super().__init__(past, run)
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._block,
            console=Console(highlight=False),
            refresh_per_second=1 / REFRESH,
            transient=True,
        )
        self._live.start()

    def say(self, line: str) -> None:
        """Print a line above the block."""
        from rich.text import Text

        self._live.console.print(Text(printable(line)), soft_wrap=True)

    def lines(self, event: ev.Event) -> list[str]:
        """As the plain lines, but the block itself shows the iterations."""
        if isinstance(event, ev.End):
            self._live.stop()
        return [] if isinstance(event, ev.Step) else super().lines(event)

    def close(self) -> None:
        """Take the block away."""
        with suppress(OSError, ValueError):
            self._live.stop()

    def _block(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        h = self.history
        if h.run is None:
            return Text("loading", style="dim")
        whole = max(h.max_iters, 1)
        bar = Table.grid(padding=(0, 1))
        share = Text(f"{finished(h) / whole:.0%}")
        bar.add_row(ProgressBar(total=whole, completed=finished(h), width=40), share)
        parts: list[RenderableType] = [bar, Text(status_line(h, time_left(h)))]
        if h.samples and not h.samples[-1].complete:
            view = h.samples[-1]
            tail = printable(view.start.prompt + view.text).split("\n")[-SAMPLE_LINES:]
            parts.append(Text("\n".join(tail), style="yellow"))
        return Group(*parts)


@contextmanager
def console(past: History | None = None, run: Path | None = None) -> Iterator[PlainConsole]:
    """Live in a terminal that can move the cursor, else plain; `past` is not shown again."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # not every terminal has every character
        sys.stdout.reconfigure(errors="backslashreplace")
    dumb = os.environ.get("TERM", "") in ("", "dumb") or unattended() is not None
    chosen = (LiveConsole if sys.stdout.isatty() and not dumb else PlainConsole)(past, run)
    try:
        yield chosen
    finally:
        chosen.close()


def opening(run: ev.Run) -> list[str]:
    """What is trained on what, where, and the memory and time it needs."""
    model, data, processes = run.model, run.dataset, run.world.processes if run.world else 1
    evaluated = "all of them" if data.eval_whole else f"{data.eval_tokens:,} of them"
    iterations, seen = run.config.get("max_iters"), ""
    if isinstance(iterations, int) and (often := epochs(run, iterations)) is not None:
        times = f"{often:.2g}" if often < 10 else f"{often:,.0f}"
        seen = f", {times} epochs in {iterations:,} iterations"
    lines = [
        f"{run.run_id}: {model.name}, {parameters(model.n_params)} parameters, {model.n_layer} "
        f"blocks, on {one_line(data.name, 60)}",
        f"{data.train_tokens:,} training tokens{seen}; val loss over {data.val_tokens:,}, "
        f"{evaluated}",
        f"{run.device} ({run.device_reason}), {run.dtype} ({run.dtype_reason}), {run.threads} "
        "threads",
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
        moved = (
            f", and {size(run.memory.traffic)} of moments are read from and written to the run's "
        )
        moved = f"{moved}disk each iteration" if run.memory.traffic else ""  # not with --shard
        lines.append(f"memory low: activations are computed twice{moved}")
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
    if (per_character := _bits(event)) is not None:
        line += f"  {bits(per_character)}"
    if event.val_loss is None or first is None or first.val_loss is None:
        return line
    change = event.val_loss / first.val_loss - 1
    best = "" if event.best else f"  (best {loss(_best(history))})"
    return line + (f"  {change:+.1%} from the start{best}" if event.iteration else "")


def _bits(event: ev.Eval) -> float | None:
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


def _learned(history: History) -> list[str]:
    """How val loss changed from the first evaluation to the best, or that it did not fall."""
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
    return [line if _bits(best) is None else f"{line}, {bits(_bits(best))}"]


def _copied(history: History) -> list[str]:
    """The longest passage that a sample of a trained model copied; [] where that is not known."""
    trained = (s.copies for s in history.samples if s.start.iteration > 0)
    longest = [copies.longest for copies in trained if copies is not None]
    if not longest:
        return []
    if not max(longest):
        return ["no 4 words in a row of its samples stand in the training text"]
    return [f"the longest copy in its samples is {max(longest)} words"]


def changed(history: History) -> list[str]:
    """The settings that the latest resume changed, a line each."""
    records = [record for record in (history.run, *history.resumes) if record is not None]
    before, after = records[-2].config, records[-1].config
    lines = []
    for name, value in after.items():
        old, new = (
            tuple(each) if isinstance(each, list) else each
            for each in (before.get(name, value), value)
        )
        if old != new:
            now, was = (one_line(shlex.join(words(name, each)), 200) for each in (new, old))
            lines.append(f"changed: {now} (was {was})")
    return lines


def summary(history: History, end: ev.End, run_dir: Path | None = None) -> list[str]:
    """How the run ended, where the model is, and the next command; `run_dir` of a resumed run."""
    run = history.run
    lines = [f"{end.status}: {printable(end.reason)}, after {duration(history.wall_seconds)}"]
    lines += _learned(history)
    lines += _copied(history)
    if run is None:
        return lines
    where = shlex.quote(str(run_dir or run.config.get("out_dir") or f"runs/{run.run_id}"))
    if any(c.kind == "best" for c in history.checkpoints):
        lines += [
            f"the model is in {where}/model; sample with:",
            f"  shakegpt sample {where}",
        ]
    if end.status == "finished":
        return [*lines, f"  shakegpt figures {where}", f"  shakegpt claims {where}"]
    return [*lines, "continue with:", f"  shakegpt finetune --resume {where}"]
