"""How well a model writes plays: known words, and speakers who say something.

    python -m tests.bench.quality RUN [RUN …] --corpus english-prose.txt

Of each run, ten samples of 200 tokens at temperature 0.8, top-k 200, prompt `ROMEO:`. A word is
letters and apostrophes in lower case, outside speaker lines; it is known if the text that the run
learned has it, or the corpus at least three times. A speaker line names who speaks and nothing
else; it should have speech on the next line. Of each sample, its last line, which may be cut, and
the prompt count for neither.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shakegpt.checkpoint import io as checkpoint
from shakegpt.data.dataset import VAL_FRACTION
from shakegpt.data.sources import load_text
from shakegpt.data.speakers import opening
from shakegpt.generate import generate
from shakegpt.runlog.history import load
from shakegpt.runlog.schema import Settings
from tests.bench.report import Row

PROMPT = "ROMEO:"
KNOWN_AIM, SPOKEN_AIM = 97, 50
"""Percent of words that are known, and of speaker lines with speech on the next line."""
OFTEN = 3
"""How often the corpus must have a word: rarer ones may be misprints."""
_WORD = re.compile(r"[a-z']*[a-z][a-z']*")


@dataclass(frozen=True)
class Quality:
    """Counts over samples; `unknown` are the words that neither text has."""

    words: int
    unknown: tuple[str, ...]
    speaker_lines: int
    spoken: int

    @property
    def known_percent(self) -> float:
        """Share of the words that are known, percent."""
        return 100 * (1 - len(self.unknown) / max(1, self.words))

    @property
    def spoken_percent(self) -> float:
        """Share of the speaker lines with speech on the next line, percent."""
        return 100 * self.spoken / max(1, self.speaker_lines)


def words(text: str) -> list[str]:
    """Letters and apostrophes, lower-cased, in their order; no apostrophes alone."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


def speaker_lines(lines: list[str]) -> list[int]:
    """Which lines name a speaker and nothing else."""
    befores = ["", *lines]
    found = [opening(line, before) for line, before in zip(lines, befores, strict=False)]
    return [n for n, name in enumerate(found) if name is not None and not name[1]]


def quality(samples: Iterable[str], known: set[str]) -> Quality:
    """Counts over `samples`, texts that begin with a speaker line which is not theirs."""
    found, unknown, named, spoken = 0, list[str](), 0, 0
    for sample in samples:
        lines = sample.split("\n")
        names = set(speaker_lines(lines))
        for n, line in list(enumerate(lines))[1:-1]:
            if n in names:
                named += 1
                spoken += bool(lines[n + 1].strip()) and n + 1 not in names
            else:
                some = words(line)
                found += len(some)
                unknown += [word for word in some if word not in known]
    return Quality(found, tuple(unknown), named, spoken)


def vocabulary(text: str, often: int = 1) -> set[str]:
    """The words that `text` has at least so many times."""
    counts = Counter[str]()
    for start in range(0, len(text), 1 << 24):  # a word cut in two costs nothing among millions
        counts.update(words(text[start : start + (1 << 24)]))
    return {word for word, count in counts.items() if count >= often}


def samples(folder: Path, count: int, tokens: int) -> list[str]:
    """Texts that the checkpoint in `folder` writes after `PROMPT`, with seeds 1, 2, …"""
    model, tokenizer = checkpoint.load(folder).eval(), checkpoint.vocabulary(folder)
    texts = []
    for seed in range(1, count + 1):
        how = Settings(max_new_tokens=tokens, temperature=0.8, top_k=200, top_p=None, seed=seed)
        ids = [draw.id for draw in generate(model, tokenizer, tokenizer.encode(PROMPT), how)]
        texts.append(PROMPT + tokenizer.decode(ids))
    return texts


def main() -> None:
    """Print a row for the words and one for the speakers of each run."""
    parser = argparse.ArgumentParser(description="how well finetuned models write plays")
    parser.add_argument("runs", nargs="+", type=Path, help="directories of finished runs")
    parser.add_argument("--corpus", help="the text that the pocket was pretrained on")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=200, help="of each sample")
    asked = parser.parse_args()
    corpus = vocabulary(load_text([asked.corpus]).content, OFTEN) if asked.corpus else set()
    for run in asked.runs:
        header = load(run)[0].run
        assert header is not None, f"{run} is no run"
        text = load_text(header.config["dataset"]).content
        learned = text[: int(len(text) * (1 - VAL_FRACTION))]
        found = quality(
            samples(run / "model", asked.samples, asked.tokens), corpus | vocabulary(learned)
        )
        for what, count, percent, aim in (
            ("known words", found.words, found.known_percent, KNOWN_AIM),
            ("speakers with speech", found.speaker_lines, found.spoken_percent, SPOKEN_AIM),
        ):
            figure = f"{percent:.1f} % of {count}"
            print(Row(f"{run.name}, {what}", figure, f"{aim} %", percent >= aim).cells())
        print("unknown:", " ".join(sorted(set(found.unknown))))


if __name__ == "__main__":
    main()
