"""The choice of device and dtype, each with the reason that the log records."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import torch

from shakegpt.config.fields import Device, Dtype
from shakegpt.errors import ShakegptError
from shakegpt.hardware.memory import Row, available_memory

PROBE_SECONDS = 0.05
_TORCH = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Place:
    """A device, the dtype of its matrix products, and the use of memory and compilation."""

    device: str
    device_reason: str
    dtype: str
    dtype_reason: str
    memory: Row = "normal"
    """The setting of --memory, with auto resolved."""
    keeps: bool = False
    """Whether the allocator keeps freed memory for the next tensor."""
    compiled: bool = False
    compile_reason: str = ""

    def autocast(self) -> torch.autocast:
        """A context in which matrix products run in `dtype`; weights stay float32."""
        enabled = self.dtype != "float32"
        return torch.autocast(
            self.device,
            _TORCH[self.dtype] if enabled else None,
            enabled=enabled,
            cache_enabled=self.memory == "normal",  # the cache is a second copy of all weights
        )

    @property
    def scales_loss(self) -> bool:
        """Whether the loss is scaled, since gradients underflow in float16."""
        return self.dtype == "float16"


def choose(device: Device, dtype: Dtype) -> Place:
    """The device and dtype to use. Raises ShakegptError for a device that is not available."""
    name, device_reason = _device(device)
    return Place(name, device_reason, *_dtype(name, dtype))


def _device(requested: Device) -> tuple[str, str]:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if requested == "auto":
        name = next((name for name, usable in available.items() if usable), None)
        return (name, f"{name} is available") if name else ("cpu", "no GPU is available")
    if not available.get(requested, True):
        usable = next((name for name, usable in available.items() if usable), "cpu")
        raise ShakegptError(
            f"--device {requested} is not available on this machine; use --device {usable}"
        )
    return requested, "requested"


def _dtype(device: str, requested: Dtype) -> tuple[str, str]:
    if requested != "auto":
        return requested, "requested"
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "supported by this GPU"
        return "float16", "this GPU has no bfloat16: the loss is scaled"
    if device == "mps":
        return "bfloat16", "supported by Apple GPUs"
    if _cpu_has_bfloat16():
        return "bfloat16", "this CPU has instructions for it; --dtype float32 is exact"
    return "float32", "this CPU has no bfloat16 instructions"


def _cpu_has_bfloat16() -> bool:
    """Whether this CPU is faster in bfloat16 than in float32: AVX-512 BF16 or AMX."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@cache
def speed(device: str, dtype: str) -> float:
    """Floating-point operations per second of a medium-sized matrix product, measured once."""
    size = 1024 if device == "cpu" else 4096
    a = torch.randn(size, size, device=device, dtype=_TORCH[dtype])
    rounds, seconds = 0, 0.0
    (a @ a).sum().item()  # the first one includes set-up
    while seconds < PROBE_SECONDS:
        started = time.perf_counter()
        (a @ a).sum().item()
        seconds += time.perf_counter() - started
        rounds += 1
    return rounds * 2.0 * size**3 / seconds


def free_memory(place: Place) -> int:
    """Bytes that can still be allocated on the device of `place`."""
    return torch.cuda.mem_get_info()[0] if place.device == "cuda" else available_memory()


def gpu_memory(device: str) -> int | None:
    """Peak memory allocated on the accelerator so far, bytes; None on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return torch.mps.driver_allocated_memory() if device == "mps" else None
