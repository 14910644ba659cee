"""What a trainer does for each command of control.jsonl that is more than pause, resume or stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shakegpt.config import FinetuneConfig, SampleConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog.control import Request
from shakegpt.runlog.schema import Settings

if TYPE_CHECKING:
    from shakegpt.finetune import Finetuning


def carry_out(job: Finetuning, request: Request) -> None:
    """Do what `request` asks of `job`. Raises ShakegptError for one that makes no sense."""
    match request.verb:
        case "save":
            job.save_state()
        case "evaluate":
            job.evaluate()
        case "sample":
            prompt = job.config.prompt if request.prompt is None else request.prompt
            job.sample(prompt, settings(job.config, request), asked=True)
        case "max_iters":
            if request.max_iters is None or request.max_iters < 0:
                raise ShakegptError(f"max_iters {request.max_iters} is no number of iterations")
            job.limit(request.max_iters)


def settings(config: FinetuneConfig, request: Request | None = None) -> Settings:
    """How a sample is drawn: as the configuration says, but for what a request names."""
    usual = {name: getattr(config, name) for name in Settings.__struct_fields__}
    asked = {name: getattr(request, name, None) for name in usual}
    chosen = usual | {name: value for name, value in asked.items() if value is not None}
    SampleConfig(**chosen)  # refuses what makes no sense
    return Settings(**chosen)
