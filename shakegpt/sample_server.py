"""Sample from saved models on request: `SampleRequest` lines on stdin, records on stdout.

    python -P -m shakegpt.sample_server [IDLE_SECONDS]

Each `sample` is answered by the records of a run log, one JSON object a line: `Sample`, `Token`s,
`SampleEnd`, then a `Command` that says whether it is done or was refused, and why. One with `drawn`
is answered by an `Inspection` of these tokens in place of a sample. A `stop` ends
all that was requested before it. The model stays loaded until another is requested. The process
ends when stdin is closed, or after IDLE_SECONDS without a request. It writes no file.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from shakegpt.config import SampleConfig
from shakegpt.errors import ShakegptError, Stopped
from shakegpt.resource_errors import explain
from shakegpt.runlog import schema
from shakegpt.runlog.control import SampleRequest

if TYPE_CHECKING:
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.model import GPT

IDLE = 600.0
"""Seconds without a request after which the process ends."""

MOST_COMPARED = 400_000_000
"""Parameters up to which a model and the one before training are both kept in memory."""


class Server:
    """Answers requests one at a time, in the order they came."""

    def __init__(self) -> None:
        """Takes over stdout: whatever else prints in this process goes to stderr."""
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._queue = queue.SimpleQueue[tuple[int, SampleRequest]]()
        self._received = 0
        self._stopped_up_to = 0
        """Number of the last request that was stopped; they count from 1."""
        self._key: tuple[object, ...] = ()
        self._loaded: tuple[GPT, Tokenizer] | None = None
        self._before: tuple[str, GPT] | None = None
        """The model before training, once it was compared with."""

    def serve(self, idle: float) -> None:
        """Answer until there was no request for `idle` seconds."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            try:
                number, request = self._queue.get(timeout=idle)
            except queue.Empty:
                return
            status: Literal["done", "refused"] = "done"
            message = ""
            try:
                if request.drawn:
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
        """Queue the requests; a line that is none is skipped. End with whoever sends them."""
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

    def _sample(self, request: SampleRequest, number: int) -> None:
        def check() -> None:
            if number <= self._stopped_up_to:
                raise Stopped("stopped", 0)

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
        """Look inside the model; with `before` inside that one too, where both fit in memory."""
        from shakegpt.inspection.record import inspect

        model, tokenizer = self._load(request)
        context = list(request.context) or [tokenizer.eot or 0]
        ids = (*context, *request.drawn)
        if min(ids) < 0 or max(ids) >= model.config.vocab_size:
            raise ShakegptError("these tokens are not of this model's vocabulary")
        small = model.config.n_params <= MOST_COMPARED
        initial = self._load_before(request.before) if request.before and small else None
        if initial is not None and initial.config != model.config:
            initial = None  # it has changed since the run began
        record = inspect(
            model,
            tokenizer,
            context,
            list(request.drawn),
            iteration=request.iteration,
            initial=initial,
        )
        if record is None:
            raise ShakegptError("the context is as long as the model's window")
        self._write(record)

    def _load_before(self, name: str) -> GPT:
        """The model `name`, which is kept."""
        if self._before is None or self._before[0] != name:
            from shakegpt.checkpoint import io as checkpoint
            from shakegpt.hardware.device import choose

            model = checkpoint.load(checkpoint.find(name).folder)
            self._before = name, model.to(choose("auto", "float32").device).eval()
        return self._before[1]

    def _load(self, request: SampleRequest) -> tuple[GPT, Tokenizer]:
        """The model and its vocabulary; the last one that was requested is kept."""
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
                raise ShakegptError("; ".join(problems) or f"{request.state} holds no state")
            if state.position(path).base is not None:
                raise ShakegptError(f"{path} holds LoRA adapters only: sample from the best model")
            state.assign_weights(path, model)
        model = model.to(choose("auto", "float32").device).eval()
        matmul.install(model)
        self._key, self._loaded = key, (model, tokenizer)
        return self._loaded

    def _write(self, record: schema.Event) -> None:
        rest = memoryview(msgspec.json.encode(record) + b"\n")
        while rest:
            rest = rest[os.write(self._out, rest) :]


def main(words: list[str]) -> int:
    """Serve until stdin is closed; returns the exit code."""
    server = Server()
    from shakegpt.cli.imports import heavy_imports

    with heavy_imports():
        import shakegpt.checkpoint.io
        import shakegpt.generate  # noqa: F401
    server.serve(float(words[0]) if words else IDLE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
