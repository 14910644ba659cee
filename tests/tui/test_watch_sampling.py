"""A run that has ended is sampled from: by a real process, from real weights."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from shakegpt.config import FinetuneConfig
from shakegpt.runlog.log import LOG_NAME
from shakegpt.session import finetune
from shakegpt_tui.app import ShakegptApp
from shakegpt_tui.screens.run import RunScreen
from shakegpt_tui.settings import Prompting, Settings, save
from tests.tiny import copy_vocabulary, play, random_model, tiny_config
from tests.tui.screens import LARGE, SMALL, Driver, burst, run_screen, text, until
from tests.tui.screens import play as show

SECONDS = 60
"""Until a process has loaded torch on a busy machine."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a random checkpoint that is at hand, with a best model and a last state."""
    from shakegpt.checkpoint import io as checkpoint
    from shakegpt.data.tokenizer import Tokenizer

    folder = tmp_path_factory.mktemp("ended")
    tokenizer = Tokenizer(copy_vocabulary(folder / "vocabulary"))
    model = random_model(
        n_layer=1, n_head=2, n_embd=16, block_size=32, vocab_size=tokenizer.n_vocab
    )
    (folder / "base").mkdir()
    checkpoint.save(model, folder / "base", tokenizer)
    (folder / "play.txt").write_text(play())
    shape = {name: getattr(FinetuneConfig(), name) for name in ("n_layer", "n_head", "n_embd")}
    config = tiny_config(
        folder / "play.txt",
        folder / "run",
        init_from=str(folder / "base"),
        block_size=None,
        **shape,
    )
    finetune(config)
    return folder / "run"


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def drawn(screen: RunScreen) -> list[tuple[int, str, bool]]:
    """(iteration, text, complete) of what was drawn afterwards and has ended."""
    views = [view for view in screen.history.samples if view.afterwards and view.end]
    return [(view.start.iteration, view.text, view.complete) for view in views]


@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_the_model_before_and_after_with_one_seed(
    tmp_path: Path, finished: Path, size: tuple[int, int]
) -> None:
    log = (finished / LOG_NAME).read_bytes()
    files = sorted(finished.rglob("*"))
    pids = []

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        screen = run_screen(app)
        recorded = len(screen.history.samples)
        assert "s samples" in text(app)
        await pilot.press("s", "s")
        await until(pilot, lambda: len(drawn(screen)) == 2, SECONDS)
        (best, first, whole), (_, second, _) = drawn(screen)
        assert (
            best == next(c for c in screen.history.checkpoints[::-1] if c.kind == "best").iteration
        )
        assert whole and first and first != second  # another seed each time
        assert all(token.candidates for token in screen.history.samples[-1].tokens)
        await until(pilot, lambda: "drawn afterwards" in text(app) and not screen.waiting)
        await pilot.press("0", "l")
        await until(pilot, lambda: len(drawn(screen)) == 4, SECONDS)
        (before, other, _), (last, latest, _) = drawn(screen)[2:]
        assert (before, last) == (0, 6)
        assert other != second  # another model, the same seed
        settings = [view.start.settings for view in screen.history.samples[-3:]]
        assert settings[0] == settings[1] == settings[2]
        if best == last:
            assert latest == second
        await pilot.press("left", "left", "left", "left")  # browsed with those of the log
        assert screen.browser.position == recorded - 1
        assert screen.sampler is not None
        pids.append(screen.sampler.pid)
        await pilot.press("q")

    show(finished, script, size=size, config=tmp_path)
    assert gone(pids[0])
    assert (finished / LOG_NAME).read_bytes() == log
    assert sorted(finished.rglob("*")) == files


def test_a_long_sample_is_stopped_killed_and_left(tmp_path: Path, finished: Path) -> None:
    kept = Settings()
    kept.remember(finished, Prompting(max_new_tokens=1_000_000, prompt="O"))
    save(kept, tmp_path / "tui.json")
    pids = []

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        screen = run_screen(app)

        async def draw() -> int:
            burst(app, "s")  # a press would wait for a calm that does not come
            await until(pilot, lambda: bool(screen.drawing and screen.drawing.tokens), SECONDS)
            assert screen.sampler is not None
            return screen.sampler.pid

        pid = await draw()
        assert "Stop" in text(app)
        for count, key in enumerate(("x", "escape"), 1):
            assert await draw() == pid  # the second press queued; the process is the same
            burst(app, key)
            await until(pilot, lambda: not screen.waiting)
            assert all(not whole for _, _, whole in drawn(screen))
            assert len(drawn(screen)) >= count
            assert not screen.sampling_error
            pid = await draw() if count == 1 else pid
        await draw()
        os.kill(pid, signal.SIGKILL)
        await until(pilot, lambda: "killed by SIGKILL" in text(app))
        assert screen.drawing is None and not screen.waiting
        pids.append(await draw())
        assert pids[0] != pid and not screen.sampling_error
        await pilot.press("h")  # the screen is left while it samples

        await until(pilot, lambda: gone(pids[0]))

    show(finished, script, config=tmp_path)


def test_a_missing_model_is_one_sentence(tmp_path: Path, finished: Path) -> None:
    moved = finished / "model.moved"
    (finished / "model").rename(moved)

    async def script(pilot: Driver, app: ShakegptApp) -> None:
        screen = run_screen(app)
        await pilot.press("s")
        await until(pilot, lambda: bool(screen.sampling_error), SECONDS)
        await until(pilot, lambda: "there is no model" in text(app))
        moved.rename(finished / "model")
        await pilot.press("e")
        await pilot.pause(0.3)
        await pilot.press(*" thou", "ctrl+s")
        await until(pilot, lambda: len(drawn(screen)) == 1, SECONDS)
        assert screen.history.samples[-1].start.prompt == "ROMEO: thou"
        assert "there is no model" not in text(app)

    try:
        show(finished, script, config=tmp_path)
    finally:
        if moved.exists():
            moved.rename(finished / "model")


def test_the_process_ends_when_idle(tmp_path: Path) -> None:
    from shakegpt_tui.processes.sampler import Sampler

    sampler = Sampler(idle=0.01)
    assert list(sampler.answers()) == []
    deadline = time.monotonic() + SECONDS
    while sampler.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not sampler.running
    sampler.close()
