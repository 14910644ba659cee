"""What each number on the run screen is, in two sentences, beside the number itself. No widgets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shakegpt import format
from shakegpt.runlog.history import History, SampleView
from shakegpt_tui.run.facts import Facts
from shakegpt_tui.run.narrator import choices


@dataclass(frozen=True)
class Explanation:
    """A term of the screen, its value now, what it is."""

    term: str
    value: str
    text: str


def explanations(facts: Facts, history: History, shown: SampleView | None) -> list[Explanation]:
    """Of the numbers that are on the screen, the most important first."""
    blind = math.log(history.run.model.vocab_size) if history.run else None
    least = "0 would be certainty" + ("" if blind is None else f", {blind:.2f} blind guessing")
    entries = [
        Explanation(
            "train loss",
            format.loss(facts.loss, 3),
            "How badly the model predicts each next token of the text it learns from, in nats: "
            f"{least}. It jumps about, because each iteration sees another part of the text.",
        ),
        Explanation(
            "val loss",
            format.loss(facts.val_loss, 3),
            f"The same on text held back, which it never learns from: now as unsure as among "
            f"{choices(facts.val_loss)} equally likely tokens. While it falls the model learns; "
            "if it rises while train loss falls, the model memorizes.",
        ),
        Explanation(
            "iteration",
            f"{facts.iteration} of {facts.max_iters}",
            "One update of all weights of the model. Before each, it reads a batch of the text and "
            "computes how every weight should change.",
        ),
        Explanation(
            "micro-step",
            f"{facts.micro_step}/{facts.micro_steps}" if facts.micro_steps else "",
            "A part of an iteration's batch, as large as fits in memory. The weights change only "
            "after the last one.",
        ),
        Explanation(
            "lr",
            format.rate(facts.learning_rate),
            "The learning rate: how far an update moves the weights. Too low and it learns slowly, "
            "too high and the losses rise.",
        ),
        Explanation(
            "tok/s",
            format.throughput(facts.tokens_per_second).removesuffix(" tok/s"),
            "Tokens that it learns from each second; a token is a word or a part of one. It is the "
            "speed of this machine and says nothing of the model's quality.",
        ),
    ]
    settings = shown.start.settings if shown is not None else None
    entries += [
        Explanation(
            "temperature",
            "" if settings is None else f"{settings.temperature:g}",
            "How daring the draw of each token is: near 0 the likeliest is taken, at 1 each as "
            "often as the model thinks right. Above 1 unlikely ones come up more often.",
        ),
        Explanation(
            "top-k",
            "" if settings is None else f"{settings.top_k or 'off'}",
            "Only so many of the likeliest tokens may be drawn. It keeps out the many that are "
            "unlikely one by one but not together.",
        ),
        Explanation(
            "candidates",
            "",
            "What could have stood in a token's place, with the probability of each (t, then "
            "arrows). The model gives only these; which one is written is drawn at random.",
        ),
    ]
    return entries
