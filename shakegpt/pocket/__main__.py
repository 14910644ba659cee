"""Make a pocket checkpoint: pretrain a small GPT-2 from scratch on any text.

    python -m shakegpt.pocket prose.txt --state runs/pocket-pretraining      days on two cores

The same command resumes a run that was stopped or killed. Once the stable phase has --tokens, the
decay branches off into its own directory and ends in STATE/decay-…/pocket: float16 weights,
vocabulary, configuration, a model card with the run's numbers. `--tokens 0` branches off at once,
even while another process trains the stable phase.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from shakegpt.cli import main as command_line
from shakegpt.config.bounds import (
    REQUIRED,
    Choice,
    Several,
    Switch,
    Text,
    check,
    integer,
    real,
    setting,
)
from shakegpt.config.fields import Compile
from shakegpt.errors import ShakegptError
from shakegpt.pocket.recipe import Recipe

if TYPE_CHECKING:
    from shakegpt.pocket.pretrain import Pretraining, Stop

VOCABULARY = 4096
VOCABULARY_TEXT = 40_000_000
"""Characters at the start of the text from which the merges are learned."""
FINAL_EVAL_TOKENS = 100_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Pretrain a GPT-2 from scratch on texts: a stable phase, then a decay of the rate to zero."""

    # fmt: off
    texts: tuple[str, ...] = setting(REQUIRED, Several(Text("TEXT", path=True)),
        "Texts to pretrain on, as of `shakegpt finetune --dataset`.", positional=True)
    state: str = setting("runs/pocket-pretraining", Text("DIR", path=True),
        "Directory of the run: state, log, the decayed models. The same one resumes it.")
    tokens: int = setting(110_000_000, integer(0, unit="tokens"),
        "Tokens of the stable phase, at least; the decay follows. 0: branch off the newest state.")
    decay_tokens: int = setting(40_000_000, integer(0, unit="tokens"),
        "Tokens of the decay, in which the rate falls to zero. 0: end after the stable phase.")
    n_layer: int = setting(4, integer(1, 1000, "blocks"), "Transformer blocks.")
    n_head: int = setting(4, integer(1, 1000, "heads"), "Attention heads per block.")
    n_embd: int = setting(256, integer(1, 100_000, "width"), "Embedding width.")
    block_size: int = setting(256, integer(2, unit="tokens"),
        "Sequence length of the model, a divisor of 2,048; training begins with shorter ones.")
    learn_vocabulary: bool = setting(False, Switch(),
        "Learn a new vocabulary from the text instead of taking the pocket's.")
    seed: int = setting(1, integer(0, 2**63 - 1, "seed"),
        "Decides the initial weights and the order of the text.")
    threads: int | None = setting(None, integer(1, 4096, "threads"),
        "CPU threads.", none="PyTorch's choice")
    compile: Compile = setting("auto", Choice(*get_args(Compile)),
        "Compile the training pass: auto continues without where that fails, on does not, off "
        "never tries.")
    save_minutes: float = setting(5.0, real(0, 10_000, "minutes"),
        "Minutes between states on disk; a kill loses no more.")
    eval_every: int = setting(1_000_000, integer(1, unit="tokens"),
        "Tokens between evaluations.")
    # fmt: on

    def __post_init__(self) -> None:
        """Raise ShakegptError for an invalid value."""
        check(self)
        if self.n_embd % self.n_head:
            raise ShakegptError(
                f"--n-embd must be a multiple of --n-head {self.n_head}, got {self.n_embd}"
            )
        if 2048 % self.block_size:
            raise ShakegptError(f"--block-size must divide 2,048, got {self.block_size}")


def main(arguments: list[str]) -> int:
    """Start or continue training. Returns the exit code, 130 after SIGINT or SIGTERM."""
    from shakegpt.cli.arguments import parse

    return pretrain(parse(Settings, "python -m shakegpt.pocket", arguments, Settings.__doc__ or ""))


def pretrain(settings: Settings) -> int:
    """Train the rest of the stable phase, then the decay. Returns the exit code."""
    import torch

    from shakegpt.checkpoint.io import POCKET
    from shakegpt.data.dataset import Dataset
    from shakegpt.data.make_vocabulary import learn_bpe
    from shakegpt.data.sources import load_text
    from shakegpt.data.tokenizer import Tokenizer
    from shakegpt.pocket.pretrain import Pretraining, newest, stoppable

    if settings.threads:
        torch.set_num_threads(settings.threads)
    state, recipe, text = Path(settings.state), recipe_of(settings), load_text(settings.texts)
    vocabulary = state / "vocabulary" if settings.learn_vocabulary else POCKET
    if not (vocabulary / "merges.txt").exists():
        learn_bpe([text.content[:VOCABULARY_TEXT]], VOCABULARY, vocabulary)
    tokenizer = Tokenizer(vocabulary)
    data = Dataset(text, tokenizer, recipe.block_size, recipe.seed)

    if (newest(state) or 0) < settings.tokens:
        with stoppable(state) as stop:
            stable = Pretraining(state, recipe, data, tokenizer)
            stable.restore(state)
            if not run(stable, settings.tokens, settings, stop):
                return 130
    if not settings.decay_tokens:
        return 0
    folder = decay_folder(state, settings.decay_tokens)
    pocket = folder / "pocket"
    if not pocket.exists():
        with stoppable(folder) as stop:
            decay = Pretraining(folder, recipe, data, tokenizer)
            if not decay.restore(folder):
                decay.restore(state)
                decay.branch_off(settings.decay_tokens)
            if not run(decay, decay.progress.end, settings, stop):
                return 130
            export(decay, pocket, decay.evaluate(FINAL_EVAL_TOKENS, recipe.block_size))
    print(f"the checkpoint is in {pocket}: use it with --init-from {pocket}")
    return 0


def recipe_of(settings: Settings) -> Recipe:
    """The recipe for a model of the configured shape, with no longer sequences than its window."""
    return Recipe(
        seed=settings.seed,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        n_embd=settings.n_embd,
        block_size=settings.block_size,
        lengths=tuple((at, min(n, settings.block_size)) for at, n in Recipe.lengths),
    )


def run(training: Pretraining, until: int, settings: Settings, stop: Stop) -> bool:
    """Train until the run has `until` tokens; False if it was stopped before."""
    if settings.compile != "off" and (failure := training.compile()):
        if settings.compile == "on":
            raise ShakegptError(f"{failure}; leave out --compile on", exit_code=1)
        print(f"{failure}; training continues without it", file=sys.stderr)
    return training.train(until, 60 * settings.save_minutes, settings.eval_every, stop)


def decay_folder(state: Path, decay_tokens: int) -> Path:
    """The directory of a decay over `decay_tokens`: an unfinished one, else a new one."""
    from shakegpt.pocket.pretrain import newest

    unfinished = [f for f in state.glob(f"decay-*-{decay_tokens}") if not (f / "pocket").exists()]
    return unfinished[0] if unfinished else state / f"decay-{newest(state) or 0}-{decay_tokens}"


def export(run: Pretraining, folder: Path, result: dict[str, float]) -> None:
    """Write the model to `folder` as float16, with its model card."""
    from safetensors.torch import load_file, save_file

    from shakegpt.checkpoint import io as checkpoint
    from shakegpt.files import SUMS

    part = folder.with_name(folder.name + ".part")
    checkpoint.save(run.model, part, run.tokenizer)
    weights = {k: v.half().contiguous() for k, v in load_file(part / "model.safetensors").items()}
    save_file(weights, part / "model.safetensors", {"format": "pt"})
    (part / "model.safetensors").chmod(0o644)  # safetensors makes it private
    (part / SUMS).unlink()  # of the float32 weights
    config = json.loads((part / "config.json").read_text("utf-8"))
    (part / "config.json").write_text(json.dumps(config | {"dtype": "float16"}, indent=2) + "\n")
    (part / "README.md").write_text(card(run, result, (part / "model.safetensors").stat().st_size))
    part.rename(folder)


def card(run: Pretraining, result: dict[str, float], size: int) -> str:
    """The model card: text, duration, recipe, loss."""
    shape, text, recipe, done = run.model.config, run.data.text, run.recipe, run.progress
    stable = done.tokens - done.decay_tokens  # a stage that begins after it was not reached
    lengths = ", ".join(f"{n} from {at:,}" for at, n in recipe.lengths if at < max(1, stable))
    updates = ", ".join(f"{n:,} from {at:,}" for at, n in recipe.updates if at < done.tokens)
    rows = {
        "text": f"{text.name}, {len(text.content):,} characters, sha256 `{text.sha256[:16]}…`",
        "split": f"{len(run.data.train):,} tokens to train on, {len(run.data.val):,} held out",
        "training": f"{done.tokens:,} tokens in {done.updates:,} updates, "
        f"{done.tokens / len(run.data.train):.1f} passes over the text",
        "optimizer": f"Muon, rate {recipe.matrix_rate:g}, for the matrices of the blocks; AdamW, "
        f"rate {recipe.other_rate:g}, for the rest; decoupled weight decay",
        "schedule": f"{recipe.warmup:,} tokens of warm-up, a constant rate, over the last "
        f"{done.decay_tokens:,} tokens down to zero",
        "sequence length": f"{lengths} tokens; {shape.block_size} in the decay",
        "tokens an update": updates,
        "time": f"{done.seconds / 3600:.1f} hours",
        "held-out prose": f"{result['val_loss']:.4f} nats a token, "
        f"{result['bits_per_character']:.3f} bits a character over {result['val_tokens']:,} tokens",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""# The pocket GPT-2

A GPT-2 of {shape.n_params:,} parameters: {shape.n_layer} blocks, {shape.n_head} heads, width
{shape.n_embd}, a window of {shape.block_size} tokens, {shape.vocab_size:,} byte-level BPE tokens;
{size / 1e6:.1f} MB as float16. Made to be finetuned where there is no network. It knows some
English and no Shakespeare, no facts to rely on and no instructions, and it repeats the views of its
books.

| | |
|---|---|
{table}

Made by `python -m shakegpt.pocket TEXT`, which anyone can run on any text; the weights are this
project's own, under its licence.
"""


if __name__ == "__main__":
    sys.exit(command_line.run(main, sys.argv[1:]))
