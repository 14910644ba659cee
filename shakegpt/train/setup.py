"""What a run is made of, found and checked before anything is written: model, text, device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from shakegpt.checkpoint import io as checkpoint
from shakegpt.config import FinetuneConfig, block_size_fault
from shakegpt.data.dataset import VAL_FRACTION, Dataset
from shakegpt.data.make_vocabulary import bpe_size, learn_bpe, write_char_vocabulary
from shakegpt.data.sources import Text, load_text
from shakegpt.data.special_tokens import END_OF_TEXT
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.distributed import env
from shakegpt.errors import ShakegptError
from shakegpt.hardware import allocator, memory
from shakegpt.hardware.device import Place, choose, free_memory, settle_allocator, speed
from shakegpt.model import GPT, GPTConfig
from shakegpt.nn import lora
from shakegpt.train import compilation, state

EFFICIENCY = {"float32": 0.7, "bfloat16": 0.4, "float16": 0.4}
"""Share of a plain matrix product's speed that training reaches. Measured on CPUs: 0.6 to 0.85 in
float32, 0.35 to 0.45 in bfloat16, where the products are fast and all else is not.
"""
SCRATCH_BLOCK_SIZE = 256
"""Window of a model from scratch unless --block-size says otherwise."""


@dataclass(frozen=True)
class Parts:
    """All that training needs besides the weights."""

    config: FinetuneConfig
    name: str
    """What the model is called in the log."""
    shape: GPTConfig
    tokenizer: Tokenizer
    dataset: Dataset
    place: Place


def prepare(config: FinetuneConfig, scratch: Path, run: Path | None = None) -> Parts:
    """Find and check everything; a `run` that has begun brings its own shape and vocabulary.

    Raises ShakegptError for what cannot work; writes nothing but a character vocabulary, to
    `scratch`.
    """
    place = choose(config.device, config.dtype)
    env.require_suited(config, place.dtype)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    texts = None
    if run is not None and (run / "model" / "config.json").exists():
        name, folder = config.init_from, run / "model"
    elif config.init_from == "scratch":
        texts = _texts(config)
        name, folder = "scratch", _vocabulary(config.tokenizer, texts, scratch)
    else:
        source = checkpoint.find(config.init_from)
        name, folder = source.name, source.folder
    fresh = name == "scratch" and run is None
    if not fresh:
        checkpoint.read_config(folder)  # says first of all whether it is a checkpoint
    tokenizer = Tokenizer(folder)
    if config.max_new_tokens > 0:
        tokenizer.encode(config.prompt, f"--prompt {config.prompt!r}")
    shape = _shape(config, folder, tokenizer, fresh)
    block_size = config.block_size or shape.block_size
    if fault := block_size_fault(block_size, shape, name):
        raise ShakegptError(fault)
    processes = env.processes()
    free = free_memory(place) // (env.processes_here() if place.device == "cpu" else 1)
    row = memory.choose(shape, config, free, processes)
    narrow = place.dtype != "float32" and processes > 1
    if config.shard and narrow and config.memory == "auto":
        row = "low"  # else a narrow copy of all weights waits for the backward pass in each process
    needed = memory.estimate(shape, config, row, processes).total
    kept = place.device == "cpu" and settle_allocator(
        needed, keep=row == "normal" and not config.shard
    )
    place = replace(place, memory=row, keeps=kept)
    text, *val_text = texts or _texts(config)
    dataset = Dataset(
        text,
        tokenizer,
        block_size,
        config.seed,
        val_text=val_text[0] if val_text else None,
        val_fraction=config.val_fraction or VAL_FRACTION,
    )
    parts = Parts(config, name, shape, tokenizer, dataset, place)
    how = compilation.choose(config.compile, place, _work(parts), processes)
    return replace(parts, place=replace(place, compiled=how[0], compile_reason=how[1]))


def expected_seconds(parts: Parts) -> float:
    """What the run will take in one process, by its shape and a product's speed here."""
    place = parts.place
    return _work(parts) / (EFFICIENCY[place.dtype] * speed(place.device, place.dtype))


def _work(parts: Parts) -> float:
    """Floating-point operations of the whole run."""
    shape, dataset = parts.shape, parts.dataset
    evaluated = dataset.record(parts.config.eval_tokens).eval_tokens
    sizes = (shape.n_layer, shape.n_embd, shape.n_params, dataset.block_size)
    return memory.flops(*sizes, evaluated, parts.config)


def _texts(config: FinetuneConfig) -> list[Text]:
    """The text to train on, and that to validate on where one is given."""
    names = [config.dataset, *([config.val_dataset] if config.val_dataset else [])]
    return [load_text(each, config.text_field, config.separate_documents) for each in names]


def _vocabulary(name: str, texts: list[Text], scratch: Path) -> Path:
    """The directory with the vocabulary that --tokenizer names."""
    contents = (text.content for text in texts)
    if name == "char":
        write_char_vocabulary((text.replace(END_OF_TEXT, "") for text in contents), scratch)
    elif size := bpe_size(name):
        learn_bpe(contents, size, scratch)
    else:
        return checkpoint.find(name).folder
    return scratch


def _shape(config: FinetuneConfig, folder: Path, tokenizer: Tokenizer, fresh: bool) -> GPTConfig:
    """From the configuration when the model is made from scratch, else from the checkpoint."""
    if not fresh:
        shape = checkpoint.read_config(folder)
        if tokenizer.n_vocab > shape.vocab_size:
            raise ShakegptError(f"{folder}: vocab.json has more tokens than the model's embedding")
        return shape
    shape = GPTConfig(
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        block_size=config.block_size or SCRATCH_BLOCK_SIZE,
        vocab_size=tokenizer.n_vocab,
    )
    memory.require_memory(shape.n_params)
    return shape


def initial_model(parts: Parts) -> GPT:
    """The weights of iteration 0: those of the checkpoint, or fresh ones from the seed."""
    if parts.config.init_from != "scratch":
        source = checkpoint.find(parts.config.init_from)
        model = checkpoint.load(source.folder, parts.config.dropout)
    else:
        model = _empty(parts)
        model.to_empty(device="cpu")
        model.initialize(torch.Generator().manual_seed(parts.config.seed))
    model = allocator.take_in(model) if parts.place.keeps else model
    return lora.adapt(model, parts.config) if parts.config.lora_rank else model


def saved_model(parts: Parts, found: Path) -> GPT:
    """The weights of a saved state, mapped from its file."""
    if parts.config.lora_rank:
        model = initial_model(parts)
        state.take_adapters(found, model)
        return model
    model = _empty(parts)
    state.assign_weights(found, model)
    return allocator.take_in(model) if parts.place.keeps else model


def _empty(parts: Parts) -> GPT:
    with torch.device("meta"):
        return GPT(replace(parts.shape, dropout=parts.config.dropout))
