"""One decision, where and in what arithmetic to compute, with the reason that the log states."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import torch

from shakegpt.config import Device, Dtype
from shakegpt.errors import ShakegptError
from shakegpt.hardware.allocator import settle_allocator as settle_allocator
from shakegpt.hardware.memory import Row, available_memory

PROBE_SECONDS = 0.05
_TORCH = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Place:
    """A device and the dtype of its matrix products, each with the reason for it."""

    device: str
    device_reason: str
    dtype: str
    dtype_reason: str
    memory: Row = "normal"
    """How much is kept at hand: the row of the memory ladder."""
    keeps: bool = False
    """Whether freed memory is kept for the next tensor."""
    compiled: bool = False
    compile_reason: str = ""

    def autocast(self) -> torch.autocast:
        """A context in which matrix products run in `dtype`; weights stay float32."""
        enabled = self.dtype != "float32"
        return torch.autocast(
            self.device,
            _TORCH[self.dtype] if enabled else None,
            enabled=enabled,
            cache_enabled=self.memory == "normal",  # else a second copy of all weights stays
        )

    @property
    def scales_loss(self) -> bool:
        """Whether gradients would vanish in float16 without loss scaling."""
        return self.dtype == "float16"


def choose(device: Device, dtype: Dtype) -> Place:
    """Where to compute. Raises ShakegptError for a device that this machine does not have."""
    found, device_reason = _device(device)
    chosen, dtype_reason = _dtype(found, dtype)
    return Place(found, device_reason, chosen, dtype_reason)


def _device(asked: Device) -> tuple[str, str]:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        for name, there in available.items():
            if there:
                return name, f"{name} is available"
        return "cpu", "no GPU was found"
    if not available.get(asked, True):
        raise ShakegptError(f"--device {asked} is not available on this machine: leave it at auto")
    return asked, "asked for"


def _dtype(device: str, asked: Dtype) -> tuple[str, str]:
    if asked != "auto":
        return asked, "asked for"
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "this GPU computes in it"
        return "float16", "this GPU has no bfloat16: the loss is scaled"
    if device == "mps":
        return "bfloat16", "Apple GPUs compute in it"
    if _cpu_has_bfloat16():
        return "bfloat16", "this CPU has instructions for it; --dtype float32 is exact"
    return "float32", "a CPU without bfloat16 instructions"


def _cpu_has_bfloat16() -> bool:
    """Whether products of bfloat16 are faster than of float32 here: AVX-512 BF16 or AMX."""
    told = torch.cpu.get_capabilities()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


@cache
def speed(device: str, dtype: str) -> float:
    """Floating-point operations a second of a matrix product of middling size, measured once."""
    size = 1024 if device == "cpu" else 4096
    a = torch.randn(size, size, device=device, dtype=_TORCH[dtype])
    rounds, seconds = 0, 0.0
    (a @ a).sum().item()  # the first one sets things up
    while seconds < PROBE_SECONDS:
        began = time.perf_counter()
        (a @ a).sum().item()
        seconds += time.perf_counter() - began
        rounds += 1
    return rounds * 2.0 * size**3 / seconds


def free_memory(place: Place) -> int:
    """Bytes that tensors may take there."""
    return torch.cuda.mem_get_info()[0] if place.device == "cuda" else available_memory()


def gpu_memory(device: str) -> int | None:
    """Most memory allocated on the accelerator so far, bytes; None on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return torch.mps.driver_allocated_memory() if device == "mps" else None
