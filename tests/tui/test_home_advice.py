"""Advice on the start form: the probe's progress, what it fills in, how it fails and is ended."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
import time
from pathlib import Path

import pytest
from textual.widgets import Button

from shakegpt.config import FinetuneConfig
from shakegpt.config.presets import FIRST, PRESETS
from shakegpt.errors import ShakegptError
from shakegpt_tui.processes import adviser
from shakegpt_tui.widgets.start_form import StartForm
from tests.tui.home import SIZES, Host, base, run
from tests.tui.screens import text

__all__ = ["base"]
FOUND = {
    "config": {"dataset": ["plays"], "max_iters": 77, "learning_rate": 7e-4, "decay_lr": True},
    "forecast": {"loss": 3.5, "low": 3.4, "high": 3.6},
    "start": {"loss": 4.6},
    "unknown": [],
    "warnings": ["half of the text is a licence"],
}


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Have `script` stand in for `shakegpt advise`."""
    path = folder / "advise.py"
    path.write_text(f"import sys, json, time\n{script}\n")
    monkeypatch.setattr(adviser, "COMMAND", (sys.executable, str(path)))


async def until(host: Host, done: object) -> None:
    limit = time.monotonic() + 20
    while not done() and time.monotonic() < limit:  # type: ignore[operator]
        await asyncio.sleep(0.02)
    assert done()  # type: ignore[operator]


def test_what_is_recommended_is_filled_in(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words.json"
    script = f"json.dump(sys.argv[1:], open({str(words)!r}, 'w'))\n"
    script += f"print('shakegpt: short runs', file=sys.stderr)\nprint({json.dumps(FOUND)!r})"
    stand_in(monkeypatch, tmp_path, script)

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            await pilot.press("f6")
            await until(app, lambda: app.field("max_iters").value == "77")
            assert any("is a licence" in note.message for note in app._notifications)
            await pilot.press("f5")
            await pilot.pause()
            assert isinstance(app.result, tuple)
            flags = app.result[1]
            assert isinstance(flags, list)
            for given in (["--max-iters", "77"], ["--learning-rate", "0.0007"], ["--decay-lr"]):
                assert " ".join(given) in " ".join(flags)

    run(test())
    passed = json.loads(words.read_text())
    assert passed[0] == "plays" and passed[-1] == "--json" and "--init-from" in passed


def test_a_text_or_model_changed_meanwhile_stays_and_gets_no_settings_of_another(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    script = f"import os\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
    stand_in(monkeypatch, tmp_path, f"{script}print({json.dumps(FOUND)!r})")

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            form = app.screen.query_one(StartForm)
            await pilot.press("f6")
            app.field("dataset").value = "tinyshakespeare"
            await pilot.pause()
            go.touch()
            await until(app, lambda: form._adviser is None)
            await pilot.pause()
            assert app.field("dataset").value == "tinyshakespeare"
            assert app.field("max_iters").value == "20"
            assert [note.severity for note in app._notifications] == ["warning"]

    run(test())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_long_answer_leaves_half_of_the_form_in_sight(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    long = FOUND | {"unknown": 6 * ["whether the rate suits a run that is many times longer"]}
    stand_in(monkeypatch, tmp_path, f"print({json.dumps(long)!r})")

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=size) as pilot:
            await app.settled(pilot)
            await pilot.press("f6")
            await until(app, lambda: bool(app._notifications))
            (note,) = app._notifications
            assert "3.50 expected" in note.message
            assert len(textwrap.wrap(note.message, 38)) <= max(size[1] // 2, 8)

    run(test())


def test_a_wrong_field_is_gone_to(base: Path) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(50, 15)) as pilot:
            await app.settled(pilot)
            app.field("max_iters").value = "many"
            await pilot.pause()
            await pilot.press("f6")
            await pilot.pause()
            assert app.focused is app.field("max_iters")
            assert "many" in text(app)

    run(test())


def test_giving_up_is_no_error(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path, "print('short runs', file=sys.stderr)\ntime.sleep(60)")

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            form = app.screen.query_one(StartForm)
            await pilot.press("f6")
            await until(app, lambda: "gives up. Short runs" in text(app))
            await pilot.press("f6")
            await until(app, lambda: form._adviser is None)
            await pilot.pause()
            assert not list(app._notifications)
            assert "gives up" not in text(app)

    run(test())


@pytest.mark.parametrize(("name", "typed"), [("lora_rank", "8"), ("memory", "lowest")])
def test_no_short_runs_are_made_for_what_they_do_not_measure(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, typed: str
) -> None:
    stand_in(monkeypatch, tmp_path, f"print({json.dumps(FOUND)!r})")

    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            form = app.screen.query_one(StartForm)
            form.fill(form.texts | {"optimizer": "adamw", name: typed})
            await pilot.press("f6")
            assert form._adviser is None
            (note,) = app._notifications
            assert name.replace("_", " ") in note.message

    run(test())


def test_an_ended_probe_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    script = "import tempfile\nprint(tempfile.mkdtemp(), file=sys.stderr, flush=True)\n"
    stand_in(monkeypatch, tmp_path, script + "time.sleep(60)")
    probe = adviser.Adviser(FinetuneConfig())
    lines = probe.progress()
    assert Path(next(lines)).is_dir()
    probe.close()
    assert not list(lines)
    with pytest.raises(ShakegptError):
        probe.found()
    assert not list((tmp_path / "tmp").iterdir())


def test_a_failed_probe_says_why_and_one_that_is_given_up_ends(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=(80, 24)) as pilot:
            await app.settled(pilot)
            form, button = app.screen.query_one(StartForm), app.screen.query_one("#advise", Button)
            stand_in(monkeypatch, tmp_path, "sys.exit('shakegpt: the text is too short')")
            await pilot.press("f6")
            await until(app, lambda: any("too short" in n.message for n in app._notifications))
            stand_in(monkeypatch, tmp_path, "time.sleep(60)")
            await until(app, lambda: form._adviser is None)
            ready = str(button.label)
            await pilot.click("#advise")
            await until(app, lambda: form._adviser is not None)
            assert str(button.label) != ready
            # Textual takes a second click only after it has shown the first
            await until(app, lambda: not button.has_class("-active"))
            await pilot.click("#advise")
            await until(app, lambda: form._adviser is None)
            assert str(button.label) == ready
            assert app.field("max_iters").value == "20"

    run(test())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_its_button_stands_whole_on_the_form(base: Path, size: tuple[int, int]) -> None:
    async def test() -> None:
        app = Host(base)
        async with app.run_test(size=size) as pilot:
            await app.settled(pilot)
            first = text(app).splitlines()
            (line,) = (line for line in first if "Start" in line and "F5" in line)
            assert "Advise" in line and "F6" in line and PRESETS[FIRST].config.init_from in line

    run(test())


def test_it_runs_the_real_command(tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("To be, or not to be.\n")
    probe = adviser.Adviser(FinetuneConfig(dataset=(str(text),), threads=1))
    assert list(probe.progress())
    with pytest.raises(Exception, match="too short"):
        probe.found()
