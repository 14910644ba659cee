"""`shakegpt deck`: a deck from the package, with a run's numbers, that a speaker can edit."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from shakegpt.config import DeckConfig
from shakegpt.errors import ShakegptError
from shakegpt_figures import data, layout, make
from tests.commands import ROOT
from tests.figures import logs


def test_a_deck_is_laid_out_and_brought_to_another_run(tmp_path: Path) -> None:
    runs = [logs.write(logs.talk_like(run_id=name), tmp_path / name) for name in ("one", "two")]
    deck = tmp_path / "talk"
    assert layout.run(DeckConfig(directory=str(deck), run=str(runs[0]))) == 0
    slides = (deck / "slides.md").read_text("utf-8")
    assert "<<< ./code/finetune.py#loop" in slides and "../shakegpt" not in slides
    for name in ("finetune.py", "generate.py"):
        assert (deck / "code" / name).read_bytes() == (ROOT / "shakegpt" / name).read_bytes()
    (deck / "slides.md").write_text(slides + "\n---\n\n# My own slide\n", "utf-8")
    (deck / "talk.toml").write_text('name = "Ada"\n')
    assert layout.run(DeckConfig(directory=str(deck), run=str(runs[1]))) == 0
    assert "# My own slide" in (deck / "slides.md").read_text("utf-8")
    assert (deck / "talk.toml").read_text() == 'name = "Ada"\n'
    run = data.read(deck / "data" / "run.json").run
    assert run.id == "two" and make.stale_figures(deck / "public", run.log_sha256) == []
    (deck / "talk.toml").unlink()
    if shutil.which("node"):
        done = subprocess.run(["node", "check.mjs"], cwd=deck, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ShakegptError, match=str(tmp_path)):
        layout.run(DeckConfig(directory=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_wheel_brings_all_that_is_laid_out() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    brought = build["targets"]["wheel"]["force-include"]
    assert set(brought) == {f"slides/{part}" for part in layout.PARTS}
    for source, place in brought.items():
        assert (ROOT / source).exists()
        assert place == source.replace("slides/", "shakegpt_figures/deck/", 1)
