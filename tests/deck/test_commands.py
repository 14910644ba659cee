"""The commands that the deck shows are run, small: what the audience types works."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.commands import Commands
from tests.deck.build import ROOT
from tests.deck.conftest import SLIDES
from tests.deck.made import VERSES

TINY = (
    "--no-tui --init-from scratch --tokenizer char --n-layer 1 --n-head 1 --n-embd 8 "
    "--block-size 16 --batch-size 1 --gradient-accumulation-steps 2 --max-iters 2 "
    "--eval-interval 1 --eval-tokens 32 --max-new-tokens 8 --device cpu --dataset"
)
"""A run of a second, with everything in its log that figures and deck need."""


def commands() -> list[list[str]]:
    """Every command on a slide, in order, as words without its remark."""
    deck = (SLIDES / "slides.md").read_text("utf-8")
    blocks = re.findall(r"(?ms)^```bash\n(.*?)^```$", deck)
    inline = re.findall(r"<code>(shakegpt [^<]*|make [^<]*)</code>", deck)
    lines = [*inline, *(line for block in blocks for line in block.splitlines())]
    return [shlex.split(line, comments=True) for line in lines]


def shown(name: str, *flags: str) -> list[str]:
    """The command with this verb and these flags, as the deck has it, without its first word."""
    (found,) = [
        words[1:]
        for words in commands()
        if words[:2] == ["shakegpt", name] and set(flags) <= set(words)
    ]
    return found


def test_all_commands_are_known() -> None:
    verbs = [words[:2] for words in commands()]
    assert ["make", "run"] in verbs
    assert ["make", "present"] in verbs
    for kind, name, *_ in (words for words in commands() if words[0] != "."):
        assert kind in ("make", "shakegpt"), (kind, name)


@pytest.mark.parametrize("target", [words[1] for words in commands() if words[0] == "make"])
def test_a_target_is_there(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def test_the_talks_preset_is_there(shakegpt: Commands, tmp_path: Path) -> None:
    assert ["shakegpt", "finetune", "talk"] in commands()
    done = shakegpt("finetune", "talk", "--help", cwd=tmp_path)
    assert done.code == 0
    assert "gpt2-large" in done.out
    assert shakegpt("finetune", "no-such-preset", cwd=tmp_path).code == 2


def test_the_commands_work_from_top_to_bottom(shakegpt: Commands, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(("ROMEO:" + VERSES) * 4)
    done = shakegpt(*shown("finetune", "--out-dir"), *TINY.split(), str(text), cwd=tmp_path)
    assert done.code == 0, done.err
    sample = shakegpt(*shown("sample"), "--max-new-tokens", "4", cwd=tmp_path)
    assert sample.code == 0, sample.err
    assert "JULIET:" in sample.out
    figures = shakegpt(*shown("figures"), "--out", "drawn", cwd=tmp_path)
    assert figures.code == 0, figures.err
    assert (tmp_path / "drawn" / "training.svg").is_file()
