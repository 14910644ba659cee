"""README.md of a model on the hub: every number in it is from the run's log. Imports no torch."""

from __future__ import annotations

import json
import re
import shlex

from shakegpt.checkpoint.hub import HUB_NAMES
from shakegpt.config import FinetuneConfig, bounds
from shakegpt.errors import ShakegptError
from shakegpt.format import bits, duration, loss
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import bits_per_character, featured_sample
from shakegpt.sanitize import one_line


def model_card(past: History, repository: str) -> str:
    """The model card of the run `past` in `repository`, owner/name. Raises ShakegptError."""
    run, first, best, sample = past.run, past.first_eval, past.best_eval, featured_sample(past)
    if run is None or past.latest is None or first is None or best is None:
        raise ShakegptError("the run has not been evaluated yet: there is no model to push")
    start, text, config = str(run.config.get("init_from")), run.dataset, past.latest.config
    base = HUB_NAMES.get(start, start if re.fullmatch(r"[\w.-]+/[\w.-]+", start) else None)
    head = ["library_name: transformers", "pipeline_tag: text-generation", "tags: [gpt2, shakegpt]"]
    head += [f"base_model: {base}"] if base is not None and run.model.revision else []
    prompt, settings = str(config.get("prompt", FinetuneConfig.prompt)), list[str]()
    for name in bounds.settings(FinetuneConfig):
        if name in config and name not in ("out_dir", "init_from", "dataset", "val_dataset"):
            value = tuple(config[name]) if isinstance(config[name], list) else config[name]
            if value != getattr(FinetuneConfig, name):
                settings += bounds.words(name, value)
    measured = bits_per_character(best.val_loss, best.tokens, best.characters)
    rows = {
        "started from": f"{run.model.name}, {run.model.n_params:,} parameters, {run.model.n_layer} "
        f"blocks, width {run.model.n_embd}, {run.model.block_size} positions",
        "its weights": f"sha256 `{run.model.sha256}`" if run.model.sha256 else "random",
        "text": f"{text.name}, {text.characters or 0:,} characters, sha256 `{text.sha256}`",
        "val loss": f"{loss(first.val_loss)} before, {loss(best.val_loss)} nats per token after "
        f"iteration {best.iteration} ({bits(measured)}), over {best.tokens:,} held-out tokens",
        "training": f"{past.iteration} optimizer steps in {duration(past.wall_seconds)} on "
        f"{run.device}, {run.dtype}",
        "settings": f"`{shlex.join(settings)}`" if settings else "the defaults",
        "software": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    lines = ["---", *head, "---", "", f"# {repository.partition('/')[2]}", ""]
    lines += [
        f"A GPT-2 finetuned with shakegpt on {one_line(text.name, 200)}.",
        *("", "| | |", "|---|---|"),
        *(f"| {name} | {_cell(value)} |" for name, value in rows.items()),
        *("", "```python", "from transformers import pipeline", ""),
        f'generator = pipeline("text-generation", "{repository}")',
        f"print(generator({json.dumps(prompt)}, max_new_tokens=200)[0]['generated_text'])",
        *("```", ""),
    ]
    if sample is not None:
        written = sample.start.prompt + sample.text
        longest = max((len(ticks) for ticks in re.findall("`+", written)), default=0)
        fence = "`" * max(3, longest + 1)
        lines += [f"A sample after iteration {sample.start.iteration}:", "", f"{fence}text"]
        lines += [written, fence, ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """`text` in a Markdown table."""
    return one_line(text, 2000).replace("|", "\\|")
