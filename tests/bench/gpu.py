"""Training on a GPU beside nanoGPT compiled and transformers: tokens/s, and the share of its peak.

`make bench PARTS=gpu NANOGPT=…`, on a machine with one; so far tried on CPUs only. Each contender
trains as its own project does on a GPU: bfloat16 products, fused attention, fused AdamW, and for us
and nanoGPT the compiler. Each is a process of its own and is measured after the other, since two of
GPT-2 Large would not fit many a GPU; steps are timed one by one, and the middle one counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

from shakegpt.config import FinetuneConfig, GPTConfig
from shakegpt.hardware.device import Place
from shakegpt.nn.chunked_loss import ChunkedCrossEntropy
from shakegpt.train import compilation
from tests.bench.peers import (
    copy_weights,
    load_nanogpt,
    nanogpt_model,
    our_model,
    transformers_model,
)
from tests.bench.report import Row
from tests.bench.training import stepping
from tests.tiny import adamw

SHAPES = {"124M": GPTConfig(), "Large": GPTConfig(n_layer=36, n_head=20, n_embd=1280)}
BATCHES = {"124M": 16, "Large": 8}
"""Windows of a micro-batch: enough to fill a GPU, few enough for 40 GB."""
STEPS, WARM = 20, 5
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Products in bfloat16, operations a second, without sparsity: NVIDIA's data sheets. The first name
that is a part of the device's own counts."""
Maker = Callable[[GPTConfig, str, Path | None], Callable[[Tensor, Tensor], float]]


def bench_gpu(asked: argparse.Namespace) -> list[Row]:
    """Each shape by each contender; one row that says so where there is no GPU."""
    if not torch.cuda.is_available():
        return [Row("training on a GPU", "not measured: no GPU here")]
    contenders: dict[str, Maker] = {"shakegpt": our_step, "transformers": transformers_step}
    if asked.nanogpt is not None:
        contenders["nanoGPT"] = nanogpt_step
    return [row for name in SHAPES for row in _rows(name, contenders, asked.nanogpt)]


def _rows(shape: str, contenders: dict[str, Maker], nanogpt: Path | None) -> list[Row]:
    gpu = torch.cuda.get_device_name()
    what = f"training {shape} on {gpu}, bfloat16, {BATCHES[shape]} × {SHAPES[shape].block_size}"
    tokens = BATCHES[shape] * SHAPES[shape].block_size
    rates = {n: tokens / _middle(make, shape, "cuda", nanogpt) for n, make in contenders.items()}
    told = "; ".join(f"{n} {rate:,.0f}{_used(gpu, shape, rate)}" for n, rate in rates.items())
    ours = rates.pop("shakegpt")
    ratio = ours / max(rates.values())
    return [
        Row(f"{what}: tokens/s, share of its peak", told),
        Row(f"{what}, beside the faster peer", f"{ratio:.2f} ×", "1 ×", ratio >= 1),
    ]


def _used(gpu: str, shape: str, rate: float) -> str:
    """The share of the GPU's peak that a rate of tokens makes use of: PaLM's definition of MFU."""
    peak = next((peak for name, peak in PEAKS.items() if name in gpu), None)
    return "" if peak is None else f" ({100 * rate * work(SHAPES[shape]) / peak:.0f} %)"


def work(shape: GPTConfig) -> float:
    """Operations a token, forward and backward: 6 a parameter, and 12 a layer, width and place."""
    return 6.0 * shape.n_params + 12.0 * shape.n_layer * shape.n_embd * shape.block_size


def _middle(make: Maker, shape: str, device: str, nanogpt: Path | None) -> float:
    """Seconds of the middle step, in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    how = multiprocessing.get_context("spawn")
    process = how.Process(target=_steps, args=(make, shape, device, nanogpt, theirs), daemon=True)
    process.start()
    theirs.close()  # or a process that fails is waited for
    seconds: list[float] = ours.recv()
    process.join()
    return statistics.median(seconds)


def _steps(make: Maker, shape: str, device: str, nanogpt: Path | None, told: Connection) -> None:
    step, seconds = make(SHAPES[shape], device, nanogpt), []
    for number in range(WARM + STEPS):
        x, y = _batch(shape, device, number)
        began = time.perf_counter()
        step(x, y)  # returns a loss, and so waits for the device
        seconds.append(time.perf_counter() - began)
    told.send(seconds[WARM:])


def _batch(shape: str, device: str, number: int) -> tuple[Tensor, Tensor]:
    draw, sizes = torch.Generator().manual_seed(number), SHAPES[shape]
    size = (BATCHES[shape], sizes.block_size + 1)
    ids = torch.randint(sizes.vocab_size, size, generator=draw).to(device)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def our_step(shape: GPTConfig, device: str, _: Path | None) -> Callable[[Tensor, Tensor], float]:
    """Our step, as `Finetuning.update` takes it."""
    place = Place(device, "", "bfloat16", "")
    model = our_model(shape).to(device).train()
    optimizer = adamw(dict(model.named_parameters()), FinetuneConfig(learning_rate=3e-5))
    forward = ChunkedCrossEntropy(model, 1.0)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with place.autocast():
            return forward(x, y)

    x = torch.zeros(1, shape.block_size, dtype=torch.long, device=device)
    failed = compilation.prepare(model, False, lambda: loss(x, x).backward())  # type: ignore[no-untyped-call]
    assert failed is None, failed
    return stepping(loss, model, optimizer)


def nanogpt_step(
    shape: GPTConfig, device: str, checkout: Path | None
) -> Callable[[Tensor, Tensor], float]:
    """Its step, as its train.py takes it: compiled, TF32 where products stay in float32."""
    assert checkout is not None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model = nanogpt_model(load_nanogpt(checkout), shape).train()
    copy_weights(our_model(shape), model.state_dict())
    model = model.to(device)
    optimizer = model.configure_optimizers(0.1, 3e-5, (0.9, 0.95), device)  # type: ignore[operator]
    forward = torch.compile(model)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            found: Tensor = forward(x, y)[1]
        return found

    return stepping(loss, model, optimizer)


def transformers_step(
    shape: GPTConfig, device: str, _: Path | None
) -> Callable[[Tensor, Tensor], float]:
    """A plain loop around it: its scaled-dot-product attention, fused AdamW."""
    model = transformers_model(our_model(shape)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=0.1, fused=True)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            found = model(x).logits
        return torch.nn.functional.cross_entropy(found.flatten(0, 1).float(), y.flatten())

    return stepping(loss, model, optimizer)
