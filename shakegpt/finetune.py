"""The finetuning loop: text in, a run directory and its log out. No magic, about 350 lines.

An iteration is one update: some micro-batches forward and backward, their gradients summed and
clipped, one AdamW step. Every `eval_interval` iterations the state is saved, the val loss measured
over always the same windows, and a sample drawn. Everything random is a pure function of seed and
iteration, so a run that was stopped goes on to the very numbers of one that never was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import FinetuneConfig
from shakegpt.data.dataset import Dataset, Window, as_tensors
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError
from shakegpt.generate import recorded
from shakegpt.hardware.device import Place, gpu_memory
from shakegpt.model import GPT
from shakegpt.nn.chunked_loss import training_pass
from shakegpt.nn.lora import trained
from shakegpt.runlog import schema
from shakegpt.runlog.history import History
from shakegpt.train import compilation, state
from shakegpt.train.commands import carry_out, settings
from shakegpt.train.evaluate import measure
from shakegpt.train.mapped_adamw import make_optimizer
from shakegpt.train.optimizer import learning_rate
from shakegpt.train.supervisor import Driver, Log

Kind = Literal["best", "last"]
SAVE_SECONDS = 600.0
"""A state is saved at least this often between evaluations: a kill costs no more than that."""


class Finetuning:
    """A run in the making: model, optimizer, data and log, and what is done with them."""

    def __init__(
        self,
        config: FinetuneConfig,
        model: GPT,
        tokenizer: Tokenizer,
        dataset: Dataset,
        place: Place,
        run: Path,
        log: Log,
        driver: Driver,
        team: Team | None = None,
    ) -> None:
        """Ready to train from iteration 0; the model moves to the device of `place`."""
        self.config, self.place, self.dataset, self.tokenizer = config, place, dataset, tokenizer
        self.team = team or Team()
        self.share = self.team.share(config)
        self.model = self.team.hold(model, config, place.device)
        self.model.recompute = place.memory == "low"
        self.optimizer = make_optimizer(trained(self.model), config, place, run, self.team)
        self.forward = training_pass(self.model, self.share.rounds, self.team, place)
        self.scaler: Any = torch.amp.GradScaler(place.device, enabled=place.scales_loss)
        self.run, self.log, self.driver = run, log, driver
        self.iteration, self.samples = 0, 0
        self.best: float | None = None
        self.working = 0
        driver.max_iters = config.max_iters
        self._saved = (0, time.monotonic())
        self._looked = -1

    def train(self) -> None:
        """Go on to `max_iters`. Raises Stopped when asked to, ShakegptError when it fails."""
        self.driver.save = self.save_state
        self.model.train()
        if self.place.compiled and (failed := compilation.prepare(self.model, self.rehearse)):
            self.log.write(schema.Warning(iteration=self.iteration, message=failed))
        with self.driver.phase("training"):
            self.visit()
            while self.iteration < self.config.max_iters:
                self.update(self.iteration + 1)
                self.visit()

    def continue_from(self, past: History, found: Path | None) -> None:
        """Take up where `past` ends: moments from the state `found`, the rest from the log."""
        if found is not None:
            position = state.load(found, self.optimizer)
            self.iteration = self.driver.iteration = position.iteration
            self._saved = (position.iteration, time.monotonic())
            if position.loss_scale is not None:
                self.scaler.load_state_dict(
                    self.scaler.state_dict() | {"scale": position.loss_scale}
                )
        self.samples = max((s.start.sample + 1 for s in past.samples), default=0)
        if past.visited(self.iteration, self.config.max_new_tokens > 0):
            self._looked = self.iteration
        self.best = min(self._measured(past), default=None)

    def _measured(self, past: History) -> list[float]:
        """Val losses that stand: not one that is measured again, nor one whose model was lost."""
        again = self.iteration if self.due() and self._looked != self.iteration else -1
        kept = (e for k, e in past.evals.items() if k != again and past.visited(k, samples=False))
        return [e.val_loss for e in kept if e.val_loss is not None]

    def due(self) -> bool:
        """Whether the weights are those of an iteration that is evaluated."""
        k = self.iteration
        return k % self.config.eval_interval == 0 or k == self.config.max_iters

    def visit(self) -> None:
        """After an update: look at the model when it is time, obey commands, and look again."""
        self.look()
        while self.obey():  # which may have made this iteration the last one
            self.look()

    def look(self) -> None:
        """Save, evaluate and sample, if this iteration is due for it."""
        if self.due() or self.team.told(time.monotonic() - self._saved[1] > SAVE_SECONDS):
            self.save_state()
        if self.due() and self.iteration != self._looked:
            self.evaluate()
            self.sample(self.config.prompt, settings(self.config))
            self._looked = self.iteration

    def update(self, iteration: int) -> None:
        """One iteration: forward and backward for each micro-batch, then one step of AdamW."""
        started, losses, self.working = self.driver.clock(), list[float](), iteration
        # region loop
        for micro_step in self.team.micro_steps(self.share):
            x, y = self.batch(iteration, micro_step)  # a few windows of the text
            with self.place.autocast():
                loss = self.forward(x, y)  # how wrong is every guess?
            self.scaler.scale(loss / self.share.rounds).backward()  # which weights are to blame?
            losses += self.report(loss, iteration, micro_step)
        norm = self.clip(iteration)
        self.step(iteration)  # nudge all of them
        self.optimizer.zero_grad()  # and begin again
        # endregion loop
        if self.iteration < iteration:  # float16 overflowed: once more at a lower scale
            return self.update(iteration)
        seconds, micro_steps = self.driver.clock() - started, len(losses)
        tokens = micro_steps * self.config.batch_size * self.dataset.block_size
        self.log.write(
            schema.Step(
                iteration=iteration,
                loss=sum(losses) / micro_steps,
                learning_rate=learning_rate(self.config, iteration),
                grad_norm=norm,
                seconds=seconds,
                tokens_per_second=tokens / seconds,
                memory=self.driver.memory(),
                gpu_memory=gpu_memory(self.place.device),
            )
        )

    def rehearse(self) -> None:
        """A micro-batch forward and backward whose gradients nobody takes."""
        x, y = self.batch(1, 1)
        with self.place.autocast():
            loss = self.forward(x, y)
        (loss / self.share.rounds).backward()

    def batch(self, iteration: int, micro_step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a micro-batch, (B, T) each, on the device."""
        if max(self.config.dropout, self.config.lora_dropout) > 0:  # a function of the place, too
            torch.manual_seed(mix(self.config.seed + self.share.part, iteration, micro_step))
        mine = self.share.of(self.windows(iteration, micro_step))
        x, y = as_tensors(self.dataset.train, mine)
        return x.to(self.place.device), y.to(self.place.device)

    def windows(self, iteration: int, micro_step: int) -> list[Window]:
        """Where in the training part that micro-batch stands."""
        config = self.config
        return self.dataset.batch(
            iteration, micro_step, config.gradient_accumulation_steps, config.batch_size
        )

    def report(self, loss: Tensor, iteration: int, micro_step: int) -> list[float]:
        """Log the losses of the micro-batches that were worked on at once; hear what came."""
        values = self.team.losses(loss.item(), self.share)
        for place, value in enumerate(values, micro_step - self.share.group):
            self.log_progress(value, iteration, place)
        self.driver.check(self.obey)
        self.obey()
        return values

    def log_progress(self, value: float, iteration: int, micro_step: int) -> None:
        """Log a micro-batch's loss; stop the run before the update if it is not finite."""
        micro_steps = self.config.gradient_accumulation_steps
        per_micro_step = self.config.batch_size * self.dataset.block_size
        done = (iteration - 1) * micro_steps + micro_step
        self.log.write(
            schema.Progress(
                iteration=iteration,
                micro_step=micro_step,
                micro_steps=micro_steps,
                loss=value,
                tokens=done * per_micro_step,
            )
        )
        if not math.isfinite(value):
            where = ", ".join(str(w.start) for w in self.windows(iteration, micro_step))
            raise self.failure(f"the loss is {value} at window {where}", iteration, micro_step)

    def clip(self, iteration: int) -> float:
        """Scale the gradients down to `grad_clip`; returns their norm before that."""
        self.scaler.unscale_(self.optimizer)
        most = self.config.grad_clip or math.inf
        norm = self.team.norm(torch.nn.utils.clip_grad_norm_(self.model.parameters(), most))
        hopeless = not self.place.scales_loss or self.scaler.get_scale() < 1
        if not math.isfinite(norm) and hopeless:
            raise self.failure(f"the gradient's norm is {norm}", iteration)
        return norm

    def failure(self, what: str, iteration: int, micro_step: int | None = None) -> ShakegptError:
        """The sentence for a run that cannot go on; its last good state is on disk when raised."""
        self.save_state()
        place = f"iteration {iteration}" + (f", micro-step {micro_step}" if micro_step else "")
        return ShakegptError(
            f"{what} in {place}: the update was not made and the state of iteration "
            f"{self.iteration} is kept; try a lower --learning-rate or --dtype float32",
            exit_code=1,
        )

    def step(self, iteration: int) -> None:
        """AdamW's update at this iteration's rate; from here on the weights are `iteration`'s."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, iteration)
        with self.driver.weights:
            scale = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.scaler.get_scale() >= scale:  # else float16 overflowed and no step was made
                self.iteration = self.driver.iteration = iteration

    @contextmanager
    def at_rest(self, phase: schema.Phase) -> Iterator[None]:
        """A phase in which the model does not learn, and nothing is dropped."""
        self.model.eval()
        try:
            with self.driver.phase(phase), self.team.at_hand(self.model):
                yield
        finally:
            self.model.train()

    def evaluate(self) -> None:
        """Mean loss over the validation windows; the best model so far is saved."""
        started, config = self.driver.clock(), self.config
        with self.at_rest("evaluating"):
            how = (config.eval_tokens, config.batch_size, self.place)
            found = measure(self.model, self.dataset, *how, self.driver.check, self.team)
        best = math.isfinite(found.loss) and (self.best is None or found.loss < self.best)
        self.log.write(
            schema.Eval(
                iteration=self.iteration,
                val_loss=found.loss,
                tokens=found.tokens,
                seconds=self.driver.clock() - started,
                best=best,
                standard_error=found.standard_error,
                characters=found.characters,
            )
        )
        if best:
            self.best = found.loss
            self.save_model()

    def sample(self, prompt: str, how: schema.Settings, asked: bool = False) -> None:
        """Draw a text and log it token by token; a stop in its middle is logged as its end."""
        if how.max_new_tokens == 0:
            return
        self.tokenizer.encode(prompt, "the prompt")  # raises before the sample has a number
        key = (self.iteration, self.samples, asked)
        self.samples += 1
        if not self.team.needed:
            return
        check, clock = self.driver.check_alone, self.driver.clock
        with self.at_rest("sampling"):
            text = recorded(self.model, self.tokenizer, prompt, how, *key, check, clock)
            for event in text:
                self.log.write(event)

    def obey(self) -> bool:
        """Carry out the commands that came; the log says what became of each. True if any came."""
        obeyed = False
        for request in self.driver.requests():
            obeyed = True
            try:
                carry_out(self, request)
            except ShakegptError as error:
                self.driver.answer(request, "refused", str(error))
            else:
                self.driver.answer(request, "done")
        return obeyed

    def limit(self, max_iters: int) -> None:
        """Change how many iterations there are; one that is being worked on is still finished."""
        least = max(self.iteration, self.working)  # nothing is worked on right after a resume
        self.config = replace(self.config, max_iters=max(max_iters, least))
        self.driver.max_iters = self.config.max_iters

    def save_state(self) -> None:
        """Put all that resuming needs on disk, unless it is there; any thread may call this."""
        with self.driver.weights:
            k = self.iteration
            if k in (0, self._saved[0]) or not self.team.needed:
                return  # the state of iteration 0 is the checkpoint itself
            started = time.monotonic()
            scale = float(self.scaler.get_scale()) if self.place.scales_loss else None
            position = state.Position(iteration=k, loss_scale=scale)
            data = (self.run / "state", self.model, self.optimizer, position)
            path = self.optimizer.lent(lambda: state.save(*data))
            self._saved = (k, time.monotonic())
        if path is not None:
            self.told_saved(k, "last", path, state.size(path), started)

    def save_model(self) -> None:
        """Write model/, the best so far; not at iteration 0, where it is the given checkpoint."""
        if self.iteration == 0 or not self.team.needed:
            return
        started, path = time.monotonic(), self.run / "model"
        data = (self.model, path, self.tokenizer, self.optimizer.write)
        with self.driver.phase("saving"):
            size = self.optimizer.lent(lambda: checkpoint.save(*data))
        if size is not None:
            self.told_saved(self.iteration, "best", path, size, started)

    def told_saved(self, k: int, kind: Kind, path: Path, size: int, began: float) -> None:
        """Log that something of iteration `k` is on disk; training may be further by now."""
        self.log.write(
            schema.Checkpoint(
                iteration=k,
                kind=kind,
                path=str(path.relative_to(self.run)),
                bytes=size,
                seconds=time.monotonic() - began,
            )
        )


def mix(seed: int, iteration: int, micro_step: int) -> int:
    """A seed for each micro-step of each run, the same today and after a resume."""
    return ((seed * 1_000_003 + iteration) * 1_000_003 + micro_step) % (1 << 63)
