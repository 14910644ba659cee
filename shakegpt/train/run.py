"""A run around the loop of `finetune.py`: log, commands, evaluations and samples."""

from __future__ import annotations

import math
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from shakegpt.config import bounds
from shakegpt.data.dataset import Window
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError
from shakegpt.hardware.allocator import release_freed_memory
from shakegpt.hardware.device import gpu_memory
from shakegpt.model import GPT
from shakegpt.nn import blocks
from shakegpt.nn.lora import trainable
from shakegpt.runlog import advice, schema
from shakegpt.runlog.history import History
from shakegpt.train import compilation
from shakegpt.train.commands import handle_commands, settings
from shakegpt.train.evaluate import ValLoss, measure
from shakegpt.train.guarded_optimizer import GuardedOptimizer, Schedule
from shakegpt.train.optimizer import AdamW, Group
from shakegpt.train.sampling import Sampler
from shakegpt.train.saver import Saver
from shakegpt.train.setup import TrainingSetup, initial_model, make_optimizer, training_loss
from shakegpt.train.supervisor import Log, Supervisor


class TrainingRun(ABC):
    """A model in training, its run directory and its log; `finetune.Finetuning` is the loop."""

    def __init__(
        self,
        setup: TrainingSetup,
        model: GPT,
        run: Path,
        log: Log,
        supervisor: Supervisor,
        team: Team | None = None,
    ) -> None:
        """At iteration 0; the model moves to the device of `setup.place`."""
        self.setup, self.config, self.place = setup, setup.config, setup.place
        self.dataset, self.tokenizer = setup.dataset, setup.tokenizer
        self.run, self.log, self.supervisor = run, log, supervisor
        self.team = team or Team()
        self.share = self.team.share(self.config)
        self.model = self.team.to_device(model, self.config, self.place.device)
        blocks.install(self.model, recompute=self.place.memory == "low")
        self.forward = training_loss(self.model, self.share.rounds, self.team, self.place)
        self.best: float | None = None
        """Lowest val loss so far."""
        self.ended_by = ""
        """The setting, as a flag, that ended the run before its last iteration; "" for none."""
        self.samples, self.micro_step = 0, 0
        self._losses, self._update_started, self._updating = list[float](), 0.0, False
        self._training_started = supervisor.clock()
        self._evaluated_iteration = -1
        self.curve = History()
        """Evaluations and steps so far, for advice."""
        self.trainable = trainable(self.model)
        self.optimizer = self.build_optimizer()
        parts = (self.model, self.tokenizer, self.optimizer, self.config.keep)
        self.saver = Saver(run, *parts, log, supervisor, self.team)
        self.sampler = Sampler(self.dataset, self.tokenizer, log, supervisor, self.team)
        supervisor.max_iters, supervisor.save = self.config.max_iters, self.save_state

    @abstractmethod
    def build_optimizer(self) -> GuardedOptimizer:
        """The optimizer of all trainable parameters, made by `make_optimizer`."""

    def make_optimizer(self, groups: list[Group], schedule: Schedule) -> GuardedOptimizer:
        """The configured optimizer, with the trainable parameters in `groups`."""
        return GuardedOptimizer(
            self.inner_optimizer(groups),
            schedule,
            self.config.grad_clip,
            self.share.rounds,
            self.place,
            self.team,
            self.supervisor,
            self.failure,
        )

    def inner_optimizer(self, groups: list[Group]) -> AdamW:
        """The configured optimizer, without its guard."""
        return make_optimizer(self.config, self.trainable, groups, self.place, self.run, self.team)

    def close(self) -> None:  # noqa: B027
        """Delete files that no resume needs, once the run has ended."""

    @property
    def iteration(self) -> int:
        """Number of finished iterations."""
        return self.supervisor.iteration

    def continue_from(self, past: History, saved: Path | None) -> None:
        """Continue where `past` ends: moments from the state at `saved`, the rest from the log."""
        if saved is not None:
            self.saver.load_state(saved)
        self.samples = max((s.start.sample + 1 for s in past.samples), default=0)
        k = self.iteration
        if past.has_evaluation(k, self.config.max_new_tokens > 0):
            self._evaluated_iteration = k
        self.curve.evals, self.curve.steps = dict(past.evals), dict(past.steps)
        # except the evaluation that will be repeated, and those whose model was not saved
        repeated = k if self.evaluation_due() and self._evaluated_iteration != k else -1
        evals = (
            e for i, e in past.evals.items() if i != repeated and past.has_evaluation(i, False)
        )
        self.best = min((e.val_loss for e in evals if e.val_loss is not None), default=None)

    def compile_blocks(self, rehearse: Callable[[], None]) -> None:
        """Compile the blocks if configured, by calling `rehearse`, a forward and backward pass.

        If it fails in one process, no process of the team uses compiled blocks.
        """
        if not self.place.compiled:
            return
        recompute = self.place.memory == "low"
        failed = compilation.prepare(self.model, recompute, rehearse)
        if any(self.team.any_rank(failed is not None)):
            blocks.install(self.model, recompute)
            message = failed or "compiling failed in another process; training continues without it"
            self.log.write(schema.RunWarning(iteration=self.iteration, message=message))

    def evaluation_due(self) -> bool:
        """Whether the current iteration is one that is evaluated."""
        k = self.iteration
        return k % self.config.eval_interval == 0 or k == self.config.max_iters

    def between_updates(self) -> None:
        """Evaluate and save if due, then handle commands; --max-minutes ends the run here."""
        limit = self.config.max_minutes
        minutes = (self.supervisor.clock() - self._training_started) / 60
        if limit is not None and self.team.broadcast(minutes >= limit):
            self._end_early("max_minutes", limit)
        self.evaluate_if_due()
        while handle_commands(self):
            self.evaluate_if_due()

    def evaluate_if_due(self) -> None:
        """Save, evaluate and sample, each if it is due and not yet done for this iteration."""
        due = self.evaluation_due()
        if due or self.team.broadcast(self.saver.overdue):
            self.save_state()
        if due and self.iteration != self._evaluated_iteration:
            self.evaluate()
            self.sample(self.config.prompt, settings(self.config))
            self._evaluated_iteration = self.iteration

    def start_update(self) -> None:
        """Start the clock of an iteration."""
        self._update_started, self._losses = self.supervisor.clock(), []
        self._updating = True

    def windows(self, iteration: int, micro_step: int) -> list[Window]:
        """The windows of a micro-batch."""
        c = self.config
        steps = c.gradient_accumulation_steps
        return self.dataset.batch(iteration, micro_step, steps, c.batch_size)

    def progress(self, loss: Tensor) -> None:
        """Log the losses of the team's micro-batches of this round, and handle commands.

        Raises ShakegptError, before the update, if a loss is not finite, and Stopped.
        """
        iteration, micro_steps = self.iteration + 1, self.config.gradient_accumulation_steps
        values = self.team.losses(loss.item(), self.share)
        self._losses += values
        for micro_step, value in enumerate(values, self.micro_step - self.share.group):
            done = (iteration - 1) * micro_steps + micro_step
            self.log.write(
                schema.Progress(
                    iteration=iteration,
                    micro_step=micro_step,
                    micro_steps=micro_steps,
                    loss=value,
                    tokens=done * self.config.batch_size * self.dataset.block_size,
                )
            )
            if not math.isfinite(value):
                starts = ", ".join(str(w.start) for w in self.windows(iteration, micro_step))
                raise self.failure(f"the loss is {value} at window {starts}", micro_step)
        self.supervisor.check(lambda: handle_commands(self))

    def finish_update(self) -> None:
        """Log the iteration, unless its step was skipped, so that it is run again."""
        losses, self._losses, self._updating = self._losses, [], False
        if self.optimizer.overflowed:
            return
        seconds = self.supervisor.clock() - self._update_started
        tokens = len(losses) * self.config.batch_size * self.dataset.block_size
        step = schema.Step(
            iteration=self.iteration,
            loss=sum(losses) / len(losses),
            learning_rate=self.optimizer.learning_rate,
            grad_norm=self.optimizer.grad_norm,
            seconds=seconds,
            tokens_per_second=tokens / seconds,
            memory=self.supervisor.memory(),
            gpu_memory=gpu_memory(self.place.device),
        )
        self.log.write(step)
        self.curve.add(step)

    def failure(self, what: str, micro_step: int | None = None) -> ShakegptError:
        """Save the state; returns the error for a training that cannot continue."""
        self.save_state()
        step = f", micro-step {micro_step}" if micro_step is not None else ""
        command = ["shakegpt", "finetune", "--resume", str(self.run)]
        rates = ["learning_rate"]
        rates += ["muon_learning_rate"] if self.config.optimizer == "muon" else []
        rates += ["min_lr"] if self.config.decay_lr and self.config.min_lr else []
        for name in rates:
            command += bounds.words(name, float(f"{getattr(self.config, name) / 3:.2g}"))
        return ShakegptError(
            f"{what} in iteration {self.iteration + 1}{step}: the update was not made and the "
            f"state of iteration {self.iteration} is kept; continue with a third of the learning "
            f"rate (or with --dtype float32): {shlex.join(command)}",
            exit_code=1,
        )

    @contextmanager
    def inference(self, phase: schema.Phase) -> Iterator[None]:
        """A phase with the model in evaluation mode."""
        self.model.eval()
        try:
            with self.supervisor.phase(phase), self.team.unsharded(self.model):
                yield
        finally:
            self.model.train()

    def evaluate(self) -> None:
        """Log the mean loss over the validation windows; save the model if it is the best."""
        started = self.supervisor.clock()
        with self.inference("evaluating"):
            val = self.val_loss()
        best = math.isfinite(val.loss) and (self.best is None or val.loss < self.best)
        evaluation = schema.Eval(
            iteration=self.iteration,
            val_loss=val.loss,
            tokens=val.tokens,
            seconds=self.supervisor.clock() - started,
            best=best,
            standard_error=val.standard_error,
            characters=val.characters,
        )
        self.log.write(evaluation)
        self.curve.add(evaluation)
        if best:
            self.best = val.loss
            self.saver.save_model()
        self.judge()

    def val_loss(self) -> ValLoss:
        """The mean loss over the validation windows."""
        sizes = (self.config.eval_tokens, self.config.batch_size)
        check = self.supervisor.check
        return measure(self.model, self.dataset, *sizes, self.place, check, self.team)

    def initial_model(self) -> GPT:
        """The model of iteration 0, again, in no more memory than training takes."""
        if self.place.keeps:
            release_freed_memory()
        mapped = replace(self.place, keeps=False)  # its weights stay in the file
        return initial_model(replace(self.setup, place=mapped))

    def judge(self) -> None:
        """Log how the run is going; end it here if --patience is exhausted."""
        config = self.config
        update = config.batch_size * config.gradient_accumulation_steps * self.dataset.block_size
        epochs = self.iteration * update / len(self.dataset.train)
        if (verdict := advice.advice(self.curve, epochs)) is not None:
            self.log.write(verdict)
        patience = config.patience
        if patience is not None and advice.evaluations_since_best(self.curve) >= patience:
            self._end_early("patience", patience)

    def sample(self, prompt: str, how: schema.Settings, requested: bool = False) -> None:
        """Generate a text and log it token by token; `requested` by a command or not.

        Raises ShakegptError for a prompt that the vocabulary cannot encode, and Stopped.
        """
        if how.max_new_tokens == 0:
            return
        self.tokenizer.encode(prompt, "the prompt")  # raises before the sample has a number
        number, self.samples = self.samples, self.samples + 1
        if not self.team.participates:
            return
        with self.inference("sampling"):
            drawn = self.sampler.draw(self.model, prompt, how, number, requested)
            ends = self.iteration in (0, self.config.max_iters)
            if ends and not requested and not self.team.sharded:
                initial = None if self.iteration == 0 else self.initial_model().eval()
                self.sampler.inspect(self.model, initial, prompt, drawn, number)

    def _end_early(self, setting: str, value: float) -> None:
        """End the run here by a setting, unless this is its end anyway."""
        if self.iteration < self.config.max_iters:
            self.set_max_iters(self.iteration)
            self.ended_by = shlex.join(bounds.words(setting, value))

    def set_max_iters(self, max_iters: int) -> None:
        """Change the number of iterations; an iteration that has started is finished."""
        self.ended_by = ""
        started = self.iteration + self._updating
        self.config = replace(self.config, max_iters=max(max_iters, started))
        self.supervisor.max_iters = self.config.max_iters

    def save_state(self) -> None:
        """Write all that resuming needs, unless it is on disk; may be called from any thread."""
        self.saver.save_state()
