"""Make a pocket checkpoint: a vocabulary from the text, then this project's own loop from scratch.

    python -m shakegpt.pocket prose.txt --out-dir runs/pocket      about two hours on two cores

Every setting of `shakegpt finetune` can be changed with its flag. The run can be stopped and
resumed like any other: the same command with the same --out-dir goes on with it. What ships is
written to RUN/pocket: float16 weights, vocabulary, configuration, a card with the run's numbers.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from shakegpt.cli import main as command_line
from shakegpt.config import FinetuneConfig
from shakegpt.errors import ShakegptError
from shakegpt.files import SUMS

VOCABULARY = 4096
VOCABULARY_TEXT = 40_000_000
"""Characters from the start of the text that the merges are learned from."""
END_OF_TEXT = "<|endoftext|>"

ABOUT = "Make a pocket checkpoint from texts: a vocabulary, then a GPT-2 from scratch."
RECIPE = FinetuneConfig(
    init_from="scratch",
    out_dir="runs/pocket",
    n_layer=4,
    n_head=4,
    n_embd=256,
    block_size=256,
    max_iters=6500,
    eval_interval=250,
    eval_tokens=100_000,
    batch_size=16,
    gradient_accumulation_steps=1,
    learning_rate=2.5e-3,
    beta1=0.9,
    beta2=0.95,
    decay_lr=True,
    warmup_iters=150,
    min_lr=1e-4,
    prompt="The old man said",
    max_new_tokens=80,
    dtype="bfloat16",
    compile="on",
)


def main(arguments: list[str]) -> int:
    """Train the vocabulary and the model, then write what ships. Returns the exit code."""
    from shakegpt.cli.arguments import parse

    texts, words = command_line.split_words(arguments)
    asked = parse(FinetuneConfig, "python -m shakegpt.pocket TEXT", words, RECIPE, ABOUT)
    if not texts:
        raise ShakegptError("pretrain on what? name a text: `python -m shakegpt.pocket a.txt`")
    run = Path(asked.out_dir or "runs/pocket")
    vocabulary = run.with_name(run.name + "-vocabulary")
    if not (vocabulary / "merges.txt").exists():
        learn_vocabulary([Path(t) for t in texts], vocabulary)
    names = tuple(str(Path(t).absolute()) for t in texts)
    pretrain(replace(asked, dataset=names, tokenizer=str(vocabulary)), run)
    ship(run, run / "pocket")
    print(f"the checkpoint is in {run}/pocket: use it with --init-from {run}/pocket")
    return 0


def pretrain(config: FinetuneConfig, run: Path) -> None:
    """Train from scratch, or go on with a run that was stopped."""
    from shakegpt import session
    from shakegpt.cli.console import console
    from shakegpt.runlog import history

    past, _ = history.load(run)
    if past.end is not None and past.end.status == "finished":
        return
    with console() as shown:
        if past.run is None:
            session.finetune(config, shown, own_process=True)
        else:
            session.resume(run, log=shown, own_process=True)


def learn_vocabulary(texts: list[Path], folder: Path) -> None:
    """Byte-level BPE of `VOCABULARY` tokens: bytes first, then merges, the end of a text last."""
    from tokenizers import ByteLevelBPETokenizer

    text = "\n\n".join(path.read_text("utf-8") for path in texts)[:VOCABULARY_TEXT]
    learner = ByteLevelBPETokenizer()
    learner.train_from_iterator(text.split(END_OF_TEXT), vocab_size=VOCABULARY - 1)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    ids = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(
        json.dumps(ids | {END_OF_TEXT: len(ids)}, ensure_ascii=False), "utf-8"
    )


def ship(run: Path, folder: Path) -> None:
    """Write the run's best model to `folder` as float16, with its card."""
    from safetensors.torch import load_file, save_file

    folder.mkdir(exist_ok=True)
    for path in [*(run / "model").glob("*.json"), run / "model" / "merges.txt"]:
        if path.name != SUMS:  # they are of the float32 weights
            shutil.copy(path, folder)
    (folder / SUMS).unlink(missing_ok=True)
    weights = load_file(run / "model" / "model.safetensors")
    halves = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it private
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}, indent=2) + "\n")
    (folder / "README.md").write_text(card(run, (folder / "model.safetensors").stat().st_size))


def card(run: Path, size: int) -> str:
    """The model card: what text, how long, what loss, as the run's log has it."""
    from shakegpt.runlog import history

    past, _ = history.load(run)
    header, best = past.run, past.best_eval
    if header is None or best is None or best.val_loss is None:
        raise ShakegptError(f"{run} has no evaluation: there is no model to describe")
    m, data, c = header.model, header.dataset, header.config
    per_step = c["batch_size"] * c["gradient_accumulation_steps"] * m.block_size
    rows = {
        "text": f"{data.name}, {data.characters:,} characters, sha256 `{data.sha256[:16]}…`",
        "split": f"{data.train_tokens:,} tokens to train on, {data.val_tokens:,} held out",
        "training": f"{best.iteration:,} iterations of {per_step:,} tokens, "
        f"{best.iteration * per_step / 1e6:.1f} million in all",
        "rate": f"{c['learning_rate']:g}, {c['warmup_iters']} iterations of warm-up, then a cosine "
        f"to {c['min_lr']:g}",
        "arithmetic": f"{header.device}, {header.dtype}, {header.threads} threads",
        "time": f"{past.wall_seconds / 60:.0f} minutes, evaluations included",
        "val loss": f"{best.val_loss:.4f} nats a token (perplexity {math.exp(best.val_loss):.1f}) "
        f"over {best.tokens:,} held-out tokens",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""# The pocket GPT-2

A GPT-2 of {m.n_params:,} parameters: {m.n_layer} blocks, {m.n_head} heads, width {m.n_embd},
a window of {m.block_size} tokens, {m.vocab_size:,} byte-level BPE tokens; {size / 1e6:.1f} MB as
float16. It knows some English and no Shakespeare: made to be finetuned where there is no network.

| | |
|---|---|
{table}

Made by `python -m shakegpt.pocket TEXT`, which anyone can run on any text; the weights are this
project's own, under its licence.
"""


if __name__ == "__main__":
    sys.exit(command_line.run(main, sys.argv[1:]))
