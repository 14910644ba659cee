"""The commands that the deck shows are run, small: what the audience types works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deck.conftest import ROOT, SLIDES
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


def shakegpt(words: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    rooms = [str(ROOT), str(ROOT / "tui"), str(ROOT / "figures")]
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from shakegpt.cli import main; sys.exit(main())",
            *words,
        ],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(rooms)},
    )


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


def test_the_talks_preset_is_there(tmp_path: Path) -> None:
    assert ["shakegpt", "finetune", "talk"] in commands()
    done = shakegpt(["finetune", "talk", "--help"], tmp_path)
    assert done.returncode == 0
    assert "gpt2-large" in done.stdout
    assert shakegpt(["finetune", "no-such-preset", "--help"], tmp_path).returncode == 2


def test_the_commands_work_from_top_to_bottom(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(("ROMEO:" + VERSES) * 4)
    finetune = shown("finetune", "--out-dir")
    done = shakegpt([*finetune, *TINY.split(), str(text)], tmp_path)
    assert done.returncode == 0, done.stderr
    sample = shakegpt([*shown("sample"), "--max-new-tokens", "4"], tmp_path)
    assert sample.returncode == 0, sample.stderr
    assert "JULIET:" in sample.stdout
    figures = shakegpt([*shown("figures"), "--out", "drawn"], tmp_path)
    assert figures.returncode == 0, figures.stderr
    assert (tmp_path / "drawn" / "training.svg").is_file()
