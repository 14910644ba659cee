"""Settings of each command: frozen dataclasses whose fields carry their bounds and their help.

Nothing here imports torch.
"""

from shakegpt.config.commands import (
    ClaimsConfig,
    DeckConfig,
    EvaluateConfig,
    FiguresConfig,
    SampleConfig,
)
from shakegpt.config.finetune import FinetuneConfig
from shakegpt.config.model import GPTConfig

__all__ = [
    "ClaimsConfig",
    "DeckConfig",
    "EvaluateConfig",
    "FiguresConfig",
    "FinetuneConfig",
    "GPTConfig",
    "SampleConfig",
]
