"""Compiled or not: whichever ends the job sooner, the seconds of compiling counted.

The choice follows from the settings and the kind of device alone, not from how fast this one is or
how busy: a compiled step rounds otherwise, and the same command shall give the same numbers.

What TorchInductor compiles is a block, once for all blocks of a model, which is a tenth of the time
that the whole model takes. It fuses what lies between the products; on a CPU that is little, on a
GPU much. Names of weights stay as they are, and evaluations and samples go uncompiled.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import torch

from shakegpt.config import Compile
from shakegpt.hardware.device import Place
from shakegpt.model import GPT, Block
from shakegpt.nn import blocks

GAIN = {
    ("cpu", "float32"): 0.0,
    ("cpu", "bfloat16"): 0.04,
    ("cuda", "float32"): 0.2,
    ("cuda", "bfloat16"): 0.35,
    ("cuda", "float16"): 0.35,
}
"""Share of a training's time that a compiled one saves. CPU: measured, docs/lab-log.md. GPU: from
nanoGPT's notes, 250 to 135 ms a step on an A100, less caution; not measured here."""
COST = {"cpu": 20.0, "cuda": 40.0}
"""Seconds until a block is compiled, forward and backward. CPU: measured, 11 to 22."""
SPEED = {"cpu": 1.5e11, "cuda": 5e13}
"""Operations a second that training is taken to reach, for this choice. CPU: measured on two
threads; GPU: what a third of an A100's peak is, about."""
COMPILERS = (os.environ.get("CXX", "c++"), "g++", "clang++")


def choose(asked: Compile, place: Place, work: float, processes: int) -> tuple[bool, str]:
    """Whether to compile for a training of so many floating-point operations, and why."""
    if asked != "auto":
        return asked == "on", "asked for"
    if place.device == "mps":
        return False, "TorchInductor is new on Apple GPUs"
    if processes > 1:
        return False, "several processes would each wait for it"
    gain = GAIN.get((place.device, place.dtype), 0.0)
    if gain == 0:
        return False, f"gains nothing on a {place.device} in {place.dtype}"
    saved, cost = gain * work / SPEED[place.device], COST[place.device]
    if saved <= cost:
        return False, f"would save about {saved:.0f} s and take {cost:.0f}"
    if place.device == "cpu" and not any(map(shutil.which, COMPILERS)):
        return False, "there is no C++ compiler"
    return True, f"saves about {saved:.0f} s and takes {cost:.0f}"


def prepare(model: GPT, recompute: bool, rehearse: Callable[[], None]) -> str | None:
    """Compile the blocks of `model` as `rehearse`, a pass forward and backward, goes through them.

    Returns None, or why that failed in one line; then the model is as it was. Gradients are dropped
    and random numbers left as they were.
    """
    blocks.install(model, recompute, torch.compile(Block.forward))
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler about itself
            rehearse()
    except Exception as error:  # the compiler's own, a subprocess's, the loader's: all of them
        blocks.install(model, recompute)
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return f"compiling failed ({reason}); training continues without it"
    finally:
        model.zero_grad(set_to_none=True)
    return None


def renewed(config: dict[str, Any]) -> dict[str, Any]:
    """Settings from a log, --compile as it is said now: once it was a switch."""
    told = config.get("compile")
    return config | {"compile": "on" if told else "off"} if isinstance(told, bool) else config
