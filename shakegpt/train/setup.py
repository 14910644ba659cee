"""Model, text, device and optimizer of a run: checked before anything is written, then created."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import FinetuneConfig
from shakegpt.config.model import block_size_fault
from shakegpt.data.dataset import VAL_FRACTION, Dataset
from shakegpt.data.make_vocabulary import bpe_size, learn_bpe, write_char_vocabulary
from shakegpt.data.sources import Text, load_text
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.distributed import env
from shakegpt.distributed.group import Team
from shakegpt.errors import ShakegptError
from shakegpt.hardware import allocator, memory
from shakegpt.hardware.device import Place, choose, free_memory, speed
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn import lora, matmul
from shakegpt.nn.chunked_loss import ChunkedCrossEntropy, chunked_loss_works
from shakegpt.train import compilation, state
from shakegpt.train.mapped_adamw import MappedAdamW
from shakegpt.train.muon import MuonAdamW
from shakegpt.train.optimizer import AdamW, Group

Loss = Callable[[Tensor, Tensor], Tensor]

EFFICIENCY = {"float32": 0.7, "bfloat16": 0.4, "float16": 0.4}
"""Speed of training relative to a matrix product's. Measured on CPUs: 0.6 to 0.85 in float32, 0.35
to 0.45 in bfloat16, where only the products are fast.
"""
DISK_SPEED = 2e9
"""Bytes per second read and written with low and lowest memory: of an SSD, partly cached."""
SCRATCH_BLOCK_SIZE = 256
"""Default --block-size of a model from scratch."""


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that training needs besides the weights."""

    config: FinetuneConfig
    name: str
    """The model's name in the log."""
    shape: GPTConfig
    tokenizer: Tokenizer
    dataset: Dataset
    place: Place


def prepare(
    config: FinetuneConfig, scratch: Path, run: Path | None = None, *, own_process: bool = False
) -> TrainingSetup:
    """Check and load everything; when resuming, `run` has the model's shape and vocabulary.

    With `own_process`, the allocator of this process is tuned. Writes nothing but a new vocabulary,
    to `scratch`. Raises ShakegptError for an invalid configuration.
    """
    place = choose(config.device, config.dtype)
    env.require_shardable(config, place.dtype)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    fresh = config.init_from == "scratch" and run is None
    texts = _texts(config) if fresh else None
    name, folder = _source(config, run, texts, scratch)
    if not fresh:
        checkpoint.read_config(folder)  # the first error to report: that it is no checkpoint
    tokenizer = Tokenizer(folder)
    if config.max_new_tokens > 0:
        tokenizer.encode(config.prompt, f"--prompt {config.prompt!r}")
    shape = _shape(config, folder, tokenizer, fresh)
    block_size = config.block_size or shape.block_size
    if fault := block_size_fault(block_size, shape, name):
        raise ShakegptError(fault)
    place = _with_memory(place, shape, config, own_process)
    text, *val_text = texts or _texts(config)
    dataset = Dataset(
        text,
        tokenizer,
        block_size,
        config.seed,
        val_text=val_text[0] if val_text else None,
        val_fraction=config.val_fraction or VAL_FRACTION,
    )
    setup = TrainingSetup(config, name, shape, tokenizer, dataset, place)
    compiled, reason = compilation.choose(config.compile, place, _flops(setup), env.processes())
    return replace(setup, place=replace(place, compiled=compiled, compile_reason=reason))


def _source(
    config: FinetuneConfig, run: Path | None, texts: list[Text] | None, scratch: Path
) -> tuple[str, Path]:
    """The model's name, and the directory of its configuration, if it has one, and vocabulary."""
    if run is not None and (run / "model" / "config.json").exists():
        return config.init_from, run / "model"
    if texts is not None:
        return "scratch", _vocabulary(config.tokenizer, texts, scratch)
    if config.init_from == "scratch":
        raise ShakegptError(
            f"cannot resume: {run}/model, which has the model's shape and vocabulary, is gone; "
            "restore it, or start a new run"
        )
    source = checkpoint.find(config.init_from)
    return source.name, source.folder


def _with_memory(
    place: Place, shape: GPTConfig, config: FinetuneConfig, own_process: bool
) -> Place:
    """`place` with the mode of --memory; with `own_process`, after tuning the allocator."""
    processes = env.processes()
    free = free_memory(place) // (env.processes_here() if place.device == "cpu" else 1)
    row = memory.choose(shape, config, free, processes, place.device)
    if row == "lowest":
        _require_lowest_works(place, processes)
    narrow = place.dtype != "float32" and processes > 1
    if config.shard and narrow and config.memory == "auto":
        row = "low"  # else each process keeps all weights in that dtype until the backward pass
    keeps = False
    if own_process and place.device == "cpu":
        needed = memory.estimate(shape, config, row, processes, place.device).total
        keeps = allocator.keep_freed_memory(needed, keep=row == "normal" and not config.shard)
    return replace(place, memory=row, keeps=keeps)


def _require_lowest_works(place: Place, processes: int) -> None:
    """Raise ShakegptError if lowest memory is not supported."""
    if place.device != "cpu":
        raise ShakegptError(
            f"--memory lowest trains on a CPU, and this run would train on {place.device} "
            f"({place.device_reason}): add --device cpu, or give --memory low"
        )
    env.require_alone(processes)
    if not chunked_loss_works(place.device):
        raise ShakegptError(
            "--memory lowest needs the loss in chunks, which is switched off (SHAKEGPT_PLAIN) or "
            "failed its self-test: give --memory low"
        )


def expected_seconds(setup: TrainingSetup) -> float:
    """Estimated duration of the run in one process, from a matrix product's measured speed."""
    place = setup.place
    need = memory.estimate(setup.shape, setup.config, place.memory, device=place.device)
    reached = EFFICIENCY[place.dtype] * speed(place.device, place.dtype)
    computation = _flops(setup, place.memory) / reached
    return computation + setup.config.max_iters * need.traffic / DISK_SPEED


def _flops(setup: TrainingSetup, row: memory.Row = "normal") -> float:
    """Floating-point operations of the whole run."""
    dataset = setup.dataset
    evaluated = dataset.record(setup.config.eval_tokens).eval_tokens
    return memory.flops(setup.shape, dataset.block_size, evaluated, setup.config, row)


def _texts(config: FinetuneConfig) -> list[Text]:
    """The training text, and a separate validation text if there is one."""
    names = [config.dataset, *([config.val_dataset] if config.val_dataset else [])]
    return [load_text(each, config.text_field, config.separate_documents) for each in names]


def _vocabulary(name: str, texts: list[Text], scratch: Path) -> Path:
    """The directory of the vocabulary for --tokenizer."""
    contents = (text.content for text in texts)
    if name == "char":
        write_char_vocabulary((text.replace(END_OF_TEXT, "") for text in contents), scratch)
    elif size := bpe_size(name):
        learn_bpe(contents, size, scratch)
    else:
        return checkpoint.find(name).folder
    return scratch


def _shape(config: FinetuneConfig, folder: Path, tokenizer: Tokenizer, fresh: bool) -> GPTConfig:
    """From the configuration for a new model from scratch, else from the checkpoint."""
    if not fresh:
        shape = checkpoint.read_config(folder)
        checkpoint.require_rows(folder, tokenizer, shape.vocab_size)
        return shape
    shape = GPTConfig(
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        block_size=config.block_size or SCRATCH_BLOCK_SIZE,
        vocab_size=tokenizer.n_vocab,
    )
    memory.require_memory(shape, config)
    return shape


def initial_model(setup: TrainingSetup) -> GPT:
    """The model of iteration 0: from the checkpoint, or with random weights.

    With lowest memory, without its weights, which are only checked.
    """
    if setup.place.memory == "lowest":
        if setup.config.init_from != "scratch":
            for _ in initial_weights(setup):
                pass
        return empty_model(setup)
    if setup.config.init_from != "scratch":
        source = checkpoint.find(setup.config.init_from)
        model = checkpoint.load(source.folder, setup.config.dropout)
    else:
        model = _meta_model(setup)
        model.to_empty(device="cpu")
        model.initialize(torch.Generator().manual_seed(setup.config.seed))
    return _finish(model, setup)


def initial_weights(setup: TrainingSetup) -> Iterator[tuple[str, Tensor]]:
    """The weights of `initial_model` by name, one in memory at a time. Raises ShakegptError."""
    if setup.config.init_from != "scratch":
        yield from checkpoint.weights(checkpoint.find(setup.config.init_from).folder)
        return
    generator, empty = torch.Generator().manual_seed(setup.config.seed), _meta_model(setup)
    for name, p in sorted(empty.named_parameters()):
        weight = torch.empty(p.shape)
        part: Any = SimpleNamespace(config=empty.config)
        part.named_parameters = lambda name=name, weight=weight: [(name, weight)]
        GPT.initialize(part, generator)  # in the order of the whole model's parameters
        yield name, weight


def empty_model(setup: TrainingSetup) -> GPT:
    """The model without memory for its weights."""
    return _finish(_meta_model(setup), setup)


def saved_model(setup: TrainingSetup, saved: Path) -> GPT:
    """The model of the state at `saved`, its weights memory-mapped.

    With lowest memory, without its weights.
    """
    if setup.place.memory == "lowest":
        return empty_model(setup)
    if setup.config.lora_rank:
        model = initial_model(setup)
        state.restore_adapters(saved, model)
        return model
    model = _meta_model(setup)
    state.assign_weights(saved, model)
    return _finish(model, setup)


def _meta_model(setup: TrainingSetup) -> GPT:
    with torch.device("meta"):
        return GPT(replace(setup.shape, dropout=setup.config.dropout))


def _finish(model: GPT, setup: TrainingSetup) -> GPT:
    """Install faster matrix products, and LoRA, on the loaded model."""
    if setup.place.keeps:
        allocator.materialize_weights(model)
    matmul.install(model)
    return lora.adapt(model, setup.config) if setup.config.lora_rank else model


def training_loss(model: GPT, micro_steps: int, team: Team, place: Place) -> Loss:
    """The loss function, from inputs and targets (B, T) to the mean loss of a micro-batch.

    It is the chunked loss, which computes the head's gradients itself, where it passes its
    self-test and neither DDP nor float16's loss scaling needs them; else the equal `model(x, y)`.
    """
    without_ddp = team.size == 1 or team.sharded
    if without_ddp and not place.scales_loss and chunked_loss_works(place.device):
        return ChunkedCrossEntropy(model, 1 / micro_steps)
    return cast("Loss", team.replicate(model))


def make_optimizer(
    config: FinetuneConfig,
    named: Mapping[str, Tensor],
    groups: list[Group],
    place: Place,
    folder: Path,
    team: Team,
) -> AdamW:
    """The optimizer of --optimizer for the parameters `named`, which are in AdamW's `groups`.

    AdamW's moments are sharded as the weights are; with low memory, on the disk of `folder`.
    """
    if config.optimizer == "muon":
        return MuonAdamW(named, groups, config)
    if team.sharded:
        from shakegpt.train.sharded_adamw import ShardedAdamW  # its imports take a second

        return ShardedAdamW(named, groups, team)
    if place.memory == "low" and place.device == "cpu":
        return MappedAdamW(named, groups, folder)
    return AdamW(named, groups)
