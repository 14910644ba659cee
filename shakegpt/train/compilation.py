"""Compilation of the blocks, if the run ends sooner with it, the time of compiling included.

The choice depends only on the settings and the kind of device, not on the speed or load of this
one: a compiled step rounds differently, and the same command must give the same numbers.

TorchInductor compiles one block for all blocks of a model, in a tenth of the time of the whole
model. It fuses the operations between matrix products, a small part of the time on a CPU, a large
one on a GPU. Names of weights do not change; evaluations and samples are not compiled.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable

import torch

from shakegpt.config.fields import Compile
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
"""Fraction of the training time that compiling saves. CPU: measured, docs/lab-log.md. GPU: a
cautious value from nanoGPT's notes, 250 to 135 ms a step on an A100; not measured here."""
COST = {"cpu": 20.0, "cuda": 40.0}
"""Seconds until a block is compiled, forward and backward. CPU: measured, 11 to 22."""
SPEED = {"cpu": 1.5e11, "cuda": 5e13}
"""Assumed operations per second in training. CPU: measured with two threads; GPU: about a third of
an A100's peak."""
COMPILERS = (os.environ.get("CXX", "c++"), "g++", "clang++")


def choose(requested: Compile, place: Place, flops: float, processes: int) -> tuple[bool, str]:
    """Whether to compile for a training of `flops` floating-point operations, and why."""
    if requested != "auto":
        return requested == "on", "requested"
    if place.memory == "lowest":
        return False, "the weights are in files"
    if place.device == "mps":
        return False, "TorchInductor is new on Apple GPUs"
    if processes > 1:
        return False, "each of several processes would compile"
    gain = GAIN.get((place.device, place.dtype), 0.0)
    if gain == 0:
        return False, f"saves nothing on {place.device} in {place.dtype}"
    saved, cost = gain * flops / SPEED[place.device], COST[place.device]
    if saved <= cost:
        return False, f"would save about {saved:.0f} s and take {cost:.0f} s"
    if place.device == "cpu" and not any(map(shutil.which, COMPILERS)):
        return False, "no C++ compiler is installed"
    return True, f"saves about {saved:.0f} s and takes {cost:.0f} s"


def prepare(model: GPT, recompute: bool, rehearse: Callable[[], None]) -> str | None:
    """Compile the blocks of `model` by calling `rehearse`, a forward and backward pass.

    Returns None, or the reason why it failed, in one line; the model is then as before. Gradients
    are dropped; the state of the random number generators does not change.
    """
    blocks.install(model, recompute, torch.compile(Block.forward))
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own
            rehearse()
    except Exception as error:  # of the compiler, a subprocess or the loader
        blocks.install(model, recompute)
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return f"compiling failed ({reason}); training continues without it"
    finally:
        model.zero_grad(set_to_none=True)
    return None
