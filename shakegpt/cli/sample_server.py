"""Sample from saved models on request: `SampleRequest` lines on stdin, records on stdout.

    python -P -m shakegpt.cli.sample_server [IDLE_SECONDS]

The answer to `sample` is records of a run log, one JSON object a line: `Sample`, `Token`s,
`SampleEnd`, then a `Command` with status done or refused, and the reason. With `drawn` it is an
`Inspection` of these tokens in place of a sample; with `replay`, the `Likelihood`s and `Passage`s
of a token in the training of a run, during which other requests are answered. `stop` cancels all
earlier requests. The model stays loaded until another is requested, and so does a replay that keeps
all its snapshots. The process ends when stdin is closed, or after IDLE_SECONDS without a request.
It writes only temporary files.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from shakegpt.config import SampleConfig
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.hardware.resource_errors import explain
from shakegpt.runlog import schema
from shakegpt.runlog.control import Likelihood, SampleRequest
from shakegpt.runlog.log import LOG_NAME

if TYPE_CHECKING:
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT, GPTConfig
    from shakegpt.replay.training import Replay

IDLE = 600.0
"""Seconds without a request after which the process ends."""

MOST_COMPARED = 400_000_000
"""Parameters up to which a model and the one before training are both kept in memory; larger ones
are loaded in turn."""


class Server:
    """Answers requests one at a time, in the order they came."""

    def __init__(self) -> None:
        """Takes over stdout: whatever else prints in this process goes to stderr."""
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._queue = queue.SimpleQueue[tuple[int, SampleRequest]]()
        self._received = 0
        self._stopped_up_to = 0
        """Number of the last cancelled request, from 1."""
        self._key: tuple[object, ...] = ()
        self._loaded: tuple[GPT, Tokenizer] | None = None
        self._before: tuple[str, GPT] | None = None
        """The model before training, from the first comparison on."""
        self._replay: tuple[tuple[str, int], Replay] | None = None
        """A replay that can continue, with its run and the size of its log."""
        self._check: Callable[[], None] = lambda: None
        """Called by a replay between computations."""
        self._replays = ExitStack()
        """Closes `_replay`."""
        self._postponed = deque[tuple[int, SampleRequest]]()
        """Replays that were requested while another was computed."""

    def serve(self, idle: float) -> None:
        """Answer until there was no request for `idle` seconds."""
        threading.Thread(target=self._listen, daemon=True).start()
        with self._replays:
            while True:
                try:
                    waiting = self._postponed
                    self._answer(*(waiting.popleft() if waiting else self._queue.get(timeout=idle)))
                except queue.Empty:
                    return

    def _answer(self, number: int, request: SampleRequest) -> None:
        """Answer a request, then write its status."""
        status: Literal["done", "refused"] = "done"
        message = ""
        try:
            if request.replay is not None:
                self._trace_training(request, number)
            elif request.drawn:
                self._inspect(request)
            else:
                self._sample(request, number)
        except Stopped as stop:
            message = stop.reason
        except (ShakegptError, OSError) as error:
            status, message = "refused", str(error)
        except Exception as error:
            if explain(error) is error:
                raise
            status, message = "refused", "out of memory: close other programs and try again"
            self._loaded = None
            self._forget_replay()
        self._write(
            schema.Command(
                id=request.id,
                verb=request.verb,
                status=status,
                message=message,
                iteration=request.iteration,
            )
        )

    def _listen(self) -> None:
        """Queue requests, skipping invalid lines; exit the process when stdin is closed."""
        decode = msgspec.json.Decoder(SampleRequest).decode
        for line in sys.stdin.buffer:
            try:
                request = decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if request.verb == "stop":
                self._stopped_up_to = self._received
            else:
                self._received += 1
                self._queue.put((self._received, request))
        os._exit(0)

    def _raise_if_stopped(self, number: int) -> None:
        """Raise Stopped if the request of this number was cancelled."""
        if number <= self._stopped_up_to:
            raise Stopped("stopped", 0)

    def _sample(self, request: SampleRequest, number: int) -> None:
        def check() -> None:
            self._raise_if_stopped(number)

        check()
        values = {name: getattr(request, name) for name in schema.Settings.__struct_fields__}
        prompt = request.prompt or ""
        SampleConfig(prompt=prompt, **values)  # checks the ranges
        model, tokenizer = self._load(request)
        tokenizer.encode(prompt, "the prompt")  # raises before the sample begins
        check()
        from shakegpt.generate import recorded

        settings = schema.Settings(**values)
        for record in recorded(
            model, tokenizer, prompt, settings, request.iteration, 0, True, check
        ):
            self._write(record)

    def _inspect(self, request: SampleRequest) -> None:
        """Look inside the model; with `before`, compare with that one."""
        from shakegpt.inspection.record import add_initial, inspect

        model, tokenizer = self._load(request)
        context, drawn = self._tokens(request, tokenizer, model.config)
        record = inspect(model, tokenizer, context, drawn, iteration=request.iteration)
        if record is None:
            raise ShakegptError("the context leaves no room in the model's sequence length")
        if request.before is not None:
            shape = model.config
            if shape.n_params > MOST_COMPARED:
                self._loaded, self._key = None, ()
            del model
            initial = self._load_before(request.before, keep=shape.n_params <= MOST_COMPARED)
            if initial.config == shape:  # else it has changed since the run began
                record = add_initial(record, initial, tokenizer, context)
        self._write(record)

    def _tokens(
        self, request: SampleRequest, tokenizer: Tokenizer, shape: GPTConfig
    ) -> tuple[list[int], list[int]]:
        """The context of the first token of `drawn` that is not skipped, and the tokens from there.

        Raises ShakegptError for token ids outside the vocabulary.
        """
        from shakegpt.nn.fast_decode import seen

        prompt, drawn = list(request.context) or [tokenizer.eot or 0], list(request.drawn)
        if min(*prompt, *drawn) < 0 or max(*prompt, *drawn) >= shape.vocab_size:
            raise ShakegptError("a token id is outside this model's vocabulary")
        if not 0 <= request.skip < len(drawn):
            raise ShakegptError(f"skip must be below {len(drawn)}, got {request.skip}")
        skipped = drawn[: request.skip]
        return seen(prompt, skipped, shape.block_size), drawn[request.skip :]

    def _trace_training(self, request: SampleRequest, number: int) -> None:
        """Answer with a token's probability after each iteration of a run, then with the windows of
        the update that changed it most.
        """
        from shakegpt.replay.passages import passage

        self._check = lambda: self._between_computations(number)
        self._check()
        assert request.replay is not None
        replay = self._open_replay(request.replay)
        tokenizer, shape = replay.setup.tokenizer, replay.setup.shape
        context, (token, *_) = self._tokens(request, tokenizer, shape)
        try:
            for iteration, p in replay.probabilities(context, token):
                self._write(
                    Likelihood(
                        iteration=iteration,
                        iterations=replay.iterations,
                        probability=p,
                        request=request.id,
                    )
                )
            for effect in replay.effects():
                record = passage(effect, replay, tokenizer, token)
                self._write(msgspec.structs.replace(record, request=request.id))
        finally:
            if not replay.keeps_all:
                self._forget_replay()

    def _between_computations(self, number: int) -> None:
        """Answer requests that came since a replay began; raise Stopped if it was cancelled."""
        self._raise_if_stopped(number)
        while not self._queue.empty():
            later = self._queue.get()
            if later[1].replay is not None:
                self._postponed.append(later)
            else:
                self._answer(*later)
            self._raise_if_stopped(number)

    def _open_replay(self, run: str) -> Replay:
        """The replay of the run directory `run`, which continues where it was. Raises ShakegptError
        for a run that cannot be replayed.
        """
        log = Path(run) / LOG_NAME
        key = run, log.stat().st_size if log.exists() else 0
        if self._replay is None or self._replay[0] != key:
            from shakegpt.replay.training import replaying

            self._forget_replay()
            opened = replaying(Path(run), lambda: self._check(), own_process=True)
            self._replay = key, self._replays.enter_context(opened)
        return self._replay[1]

    def _forget_replay(self) -> None:
        self._replay = None
        self._replays.close()

    def _load_before(self, name: str, keep: bool) -> GPT:
        """The model `name`; with `keep` it stays loaded."""
        if self._before is not None and self._before[0] == name:
            return self._before[1]
        from shakegpt.checkpoint import io as checkpoint
        from shakegpt.hardware.device import choose

        self._before = None
        model = checkpoint.load(checkpoint.find(name).folder)
        model = model.to(choose("auto", "float32").device).eval()
        if keep:
            self._before = name, model
        return model

    def _load(self, request: SampleRequest) -> tuple[GPT, Tokenizer]:
        """The model and its vocabulary; the last one stays loaded."""
        key = (request.model, request.state, request.iteration)
        if self._loaded is not None and key == self._key:
            return self._loaded
        self._loaded = None  # never two in memory
        from shakegpt.checkpoint import io as checkpoint
        from shakegpt.hardware.device import choose
        from shakegpt.nn import matmul

        folder = checkpoint.find(request.model).folder
        model, tokenizer = checkpoint.load(folder), checkpoint.vocabulary(folder)
        if request.state is not None:
            from shakegpt.train import state

            path, problems = state.newest_intact(Path(request.state))
            if path is None:
                raise ShakegptError("; ".join(problems) or f"no saved state in {request.state}")
            if state.position(path).base is not None:
                raise ShakegptError(f"{path} holds LoRA adapters only: sample from the best model")
            state.assign_weights(path, model)
        model = model.to(choose("auto", "float32").device).eval()
        matmul.install(model)
        self._key, self._loaded = key, (model, tokenizer)
        return self._loaded

    def _write(self, record: msgspec.Struct) -> None:
        rest = memoryview(msgspec.json.encode(record) + b"\n")
        while rest:
            rest = rest[os.write(self._out, rest) :]


def main(words: list[str]) -> int:
    """Serve until stdin is closed; returns the exit code."""
    server = Server()
    from shakegpt.cli.imports import heavy_imports

    with heavy_imports(trains=True):
        import shakegpt.checkpoint.io
        import shakegpt.generate  # noqa: F401
    server.serve(float(words[0]) if words else IDLE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
