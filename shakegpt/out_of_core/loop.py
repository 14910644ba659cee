"""The loop of `finetune.py` for a model that is larger than the memory, with the same numbers.

The plain loop takes a micro-batch through all blocks, then the next one. Here a block takes all
micro-batches of an iteration, then the next block: weights, gradients and moments are in files and
pass through memory block by block, and so do the activations, of which only the residual stream
between blocks is kept. Each gradient is the same sum in the same order, so losses, gradient norms,
weights and moments are those of `--memory normal`, to the bit.

    forward    embeddings, block 1, ..., block L, each for all micro-batches
    head       loss and its gradient to the stream after block L, for all micro-batches
    backward   block L, ..., block 1, each computed again, its gradients summed and written
    embedding  the head again, whose gradient belongs to the same matrix: in the plain loop head
               and look-up of one micro-batch come before those of the next
    update     the gradient norm; clipping and AdamW a piece at a time

With n parameters, L blocks, m micro-batches and a stream of s = B x T x C numbers, an iteration
reads and writes 4 bytes for each of

     2 n         weights, forward and backward
     2 n         gradients, written and read
     6 n         weights and moments, read and written by the update
     5 (L+1) m s streams and their gradients

XL with 32 micro-batches of 1,024 tokens: 62 GB and 51 GB. In memory are, of width C with V tokens,
a block's 12 C^2 weights with their gradient and the 16 s activations of its backward pass; or the
tied matrix (V, C) with its gradient, and a chunk of logits.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from shakegpt.data.dataset import as_tensors, equally_long
from shakegpt.distributed.group import Team
from shakegpt.finetune import Finetuning
from shakegpt.model import GPT
from shakegpt.nn import chunked_loss
from shakegpt.out_of_core.adamw import FileAdamW
from shakegpt.out_of_core.files import Activations, PagedModel, TensorFile
from shakegpt.runlog.history import History
from shakegpt.train import state
from shakegpt.train.commands import handle_commands
from shakegpt.train.evaluate import ValLoss, measure
from shakegpt.train.optimizer import Group
from shakegpt.train.setup import TrainingSetup, empty_model, initial_weights
from shakegpt.train.supervisor import Log, Supervisor


class OutOfCore(Finetuning):
    """A finetuning whose model is in files, in a directory of the run while it trains."""

    def __init__(
        self,
        setup: TrainingSetup,
        model: GPT,
        run: Path,
        log: Log,
        supervisor: Supervisor,
        team: Team | None = None,
    ) -> None:
        """At iteration 0; the parameters of `model` may be without memory."""
        self._folder = state.working_folder(run)
        with ExitStack() as self._files:
            self._folder.mkdir()
            self._files.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._paged = PagedModel(model, self._open_weights("weights", model))
            self._streams = self._files.enter_context(closing(Activations(self._folder)))
            super().__init__(setup, model, run, log, supervisor, team)
            self._files = self._files.pop_all()
        self.forward = self.head
        self._random_states = dict[tuple[int, int], Tensor]()

    def inner_optimizer(self, groups: list[Group]) -> FileAdamW:
        """AdamW from file to file."""
        self._adamw = FileAdamW(self.trainable, groups, self._paged, self._open)
        return self._adamw

    def _open(
        self,
        name: str,
        shapes: Mapping[str, torch.Size],
        metadata: dict[str, str] | None = None,
    ) -> TensorFile:
        """A file that is closed and deleted with the others."""
        file = TensorFile(self._folder / name, shapes, metadata)
        return self._files.enter_context(closing(file))

    def _open_weights(self, name: str, model: GPT) -> TensorFile:
        shapes = {name: p.shape for name, p in model.named_parameters()}
        return self._open(name, shapes, {"format": "pt"})

    def close(self) -> None:
        """Delete the files; states that share them keep their own names for them."""
        self._files.close()

    def continue_from(self, past: History, saved: Path | None) -> None:
        """Continue where `past` ends, with the files of the state at `saved`."""
        if saved is not None:
            self._paged.file.adopt(state.weights_file(saved))
            self._paged.remap()
        super().continue_from(past, saved)

    def train(self) -> None:
        """As the plain loop; the weights of iteration 0 are read only now."""
        if self.iteration == 0:
            self._paged.fill(initial_weights(self.setup))
        super().train()

    def update(self, iteration: int) -> None:
        """One iteration, in the order that is described above."""
        self.start_update()
        streams, collect = self._streams, self._adamw.collect
        blocks: Any = self.model.h
        last, gradients = len(blocks), "gradients"

        batches, steps = list[tuple[Tensor, Tensor]](), list[int]()
        for j, (x, y) in enumerate(self.batches(iteration)):
            self._random_states[0, j] = torch.get_rng_state()
            batches.append((x, y))
            steps.append(self.micro_step)
            with torch.no_grad(), self.drawing(0, j):
                streams[0, j] = self.embed(x)
        for i, block in enumerate(blocks):
            for j in range(len(batches)):
                with torch.no_grad(), self.drawing(i + 1, j), self.place.autocast():
                    streams[i + 1, j] = block(streams[i, j])
                self.safe_point()

        for j, (_, y) in enumerate(batches):
            self.micro_step = steps[j]
            stream = streams[last, j].requires_grad_()
            loss = self.loss(stream, y)
            loss.backward()
            streams[gradients, j] = _gradient(stream)
            self.progress(loss)
        collect(["ln_f.weight", "ln_f.bias"])

        for i, block in reversed(list(enumerate(blocks))):
            for j in range(len(batches)):
                stream = streams[i, j].requires_grad_()
                with self.drawing(i + 1, j), self.place.autocast():
                    after = block(stream)
                after.backward(streams[gradients, j])
                streams[gradients, j] = _gradient(stream)
                self.safe_point()
            collect(f"h.{i}.{name}" for name, _ in block.named_parameters())

        for j, (x, y) in enumerate(batches):
            with torch.no_grad(), self.place.autocast():
                self.head(streams[last, j], y, self.model.head.weight)
            with self.drawing(0, j):
                stream = self.embed(x)
            stream.backward(streams[gradients, j])  # type: ignore[no-untyped-call]
            self.safe_point()
        collect(name for name in self.trainable if not name.startswith(("h.", "ln_f.")))

        self.optimizer.step()
        self.optimizer.zero_grad()
        self.finish_update()

    def embed(self, x: Tensor) -> Tensor:
        """The stream before the first block, (B, T) -> (B, T, C)."""
        stream = self.model.wte(x) + self.model.wpe.weight[: x.size(1)]
        return F.dropout(stream, self.config.dropout, self.model.training)

    def head(self, stream: Tensor, y: Tensor, matrix: Tensor | None = None) -> Tensor:
        """The loss of targets y (B, T), from the stream after the last block.

        The gradient of the head's matrix is computed only if it is given.
        """
        matrix = self.model.head.weight.detach() if matrix is None else matrix
        x = self.model.ln_f(stream).flatten(0, 1)
        return chunked_loss.head_loss(x, matrix, y.flatten(), 1 / self.share.rounds)

    @contextmanager
    def drawing(self, part: int, micro_batch: int) -> Iterator[None]:
        """Dropout as in the plain loop, where a micro-batch draws for one part after the other."""
        if self.config.dropout > 0:
            torch.set_rng_state(self._random_states[part, micro_batch])
        yield
        if self.config.dropout > 0:
            self._random_states[part + 1, micro_batch] = torch.get_rng_state()

    def safe_point(self) -> None:
        """Handle stops and commands. Raises Stopped."""
        self.supervisor.check(lambda: handle_commands(self))

    def val_loss(self) -> ValLoss:
        """The mean loss over the validation windows, by the same way through the model."""
        c, val, check = self.config, self.dataset.val, self.supervisor.check
        windows = self.dataset.eval_windows(val, c.eval_tokens)
        batches = list(equally_long(windows, c.batch_size))
        numbers, blocks = iter(range(len(batches))), cast("Any", self.model.h)
        with closing(Activations(self._folder)) as streams:
            with torch.inference_mode(), self.place.autocast():
                for k, batch in enumerate(batches):
                    streams[k] = self.embed(as_tensors(val, batch)[0])
                for block in blocks:
                    for k in range(len(batches)):
                        streams[k] = block(streams[k])
                        check()

            def losses(_: Tensor, y: Tensor) -> Tensor:
                x = self.model.ln_f(streams[next(numbers)])
                return chunked_loss.token_losses(x, self.model.head.weight, y)

            how = (c.eval_tokens, c.batch_size, self.place, check)
            return measure(self.model, self.dataset, *how, losses=losses)

    def initial_model(self) -> GPT:
        """The model of iteration 0, again, in a file that goes with it."""
        model = empty_model(self.setup)
        paged = PagedModel(model, self._open_weights("initial", model))
        paged.file.path.unlink()
        paged.fill(initial_weights(self.setup))
        return model


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
