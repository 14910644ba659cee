"""What the configurations share: topics, choices, and the check when one is created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shakegpt.config import bounds
from shakegpt.config.bounds import Several, Text, integer

Device = Literal["auto", "cpu", "cuda", "mps"]
Matrix = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Memory = Literal["auto", "normal", "low", "lowest"]
Compile = Literal["auto", "on", "off"]
Optimizer = Literal["adamw", "muon"]
SaveSignal = Literal["SIGUSR1", "SIGUSR2", "SIGXCPU"]
Weights = Literal["float32", "bf16", "int8"]

WHAT, TRAINING, SCRATCH = "what", "training", "model from scratch"
LORA, SAMPLING, MACHINE = "LoRA", "sampling", "machine"
TOPICS = (WHAT, TRAINING, SCRATCH, LORA, SAMPLING, MACHINE, "options")
"""The topics of the settings, in the order of the help."""

TEXTS = Several(Text("TEXT", path=True, known=("plays", "tinyshakespeare", "-")))
THREADS = integer(1, 4096, "threads")


@dataclass(frozen=True)
class Checked:
    """A configuration that is validated when it is created."""

    def __post_init__(self) -> None:
        """Raise ShakegptError, with each field and value, for invalid settings."""
        bounds.check(self)
