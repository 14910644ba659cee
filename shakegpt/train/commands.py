"""The commands of control.jsonl that the training loop carries out: all but pause, resume, stop."""

from __future__ import annotations

from typing import Protocol

from shakegpt.config import FinetuneConfig, SampleConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Request
from shakegpt.runlog.schema import Settings
from shakegpt.train.supervisor import Supervisor


class Trainer(Protocol):
    """A running training, as commands see it."""

    config: FinetuneConfig
    supervisor: Supervisor

    def save_state(self) -> None: ...  # noqa: D102
    def evaluate(self) -> None: ...  # noqa: D102
    def sample(self, prompt: str, how: Settings, requested: bool = False) -> None: ...  # noqa: D102
    def set_max_iters(self, max_iters: int) -> None: ...  # noqa: D102


def handle_commands(trainer: Trainer) -> bool:
    """Carry out new commands and log their outcomes; returns whether there were any."""
    handled = False
    for request in trainer.supervisor.requests():
        handled = True
        try:
            carry_out(trainer, request)
        except ShakegptError as error:
            trainer.supervisor.answer(request, "refused", str(error))
        else:
            trainer.supervisor.answer(request, "done")
    return handled


def carry_out(trainer: Trainer, request: Request) -> None:
    """Carry out `request`. Raises ShakegptError for an invalid value."""
    match request.verb:
        case "save":
            trainer.save_state()
        case "evaluate":
            trainer.evaluate()
        case "sample":
            prompt = trainer.config.prompt if request.prompt is None else request.prompt
            trainer.sample(prompt, settings(trainer.config, request), requested=True)
        case "max_iters":
            if request.max_iters is None or request.max_iters < 0:
                raise ShakegptError(f"max_iters must be an integer >= 0, got {request.max_iters}")
            trainer.set_max_iters(request.max_iters)


def settings(config: FinetuneConfig, request: Request | None = None) -> Settings:
    """The sampling settings of the configuration, overridden by those of `request`.

    Raises ShakegptError for a value out of range.
    """
    values = {name: getattr(config, name) for name in Settings.__struct_fields__}
    for name in values:
        if (value := getattr(request, name, None)) is not None:
            values[name] = value
    SampleConfig(**values)  # checks the ranges
    return Settings(**values)
