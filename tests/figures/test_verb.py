"""`shakegpt figures`: whole files, the same bytes everywhere, and a sentence for what cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy
import pytest

from shakegpt.config import FiguresConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.default_run import named, newest, recorded
from shakegpt.runlog.log import LOG_NAME, RunLog
from shakegpt_figures import data, make, save, watch
from shakegpt_figures.rundata import RunInfo
from shakegpt_figures.source import Source
from shakegpt_figures.watch import Screen, follow
from tests.commands import ROOT
from tests.figures import logs
from tests.figures.looks import Svg

DRAW = """
import sys
from shakegpt.config import FiguresConfig
from shakegpt_figures.make import run
run(FiguresConfig(runs=(sys.argv[1],), out=sys.argv[2]))
run(FiguresConfig(runs=(sys.argv[1],), out=sys.argv[2], only=("inside",), format=("png", "pdf")))
loaded = {"torch", "transformers", "textual", "matplotlib.pyplot"} & set(sys.modules)
assert not loaded, loaded
"""
SVGS = [f"{name}.svg" for name in make.FIGURES]


def draw_elsewhere(run: Path, out: Path, **environment: str) -> None:
    """All figures, and one of them as pixels and on paper, in a process of their own."""
    path = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": path, **environment}
    subprocess.run([sys.executable, "-c", DRAW, str(run), str(out)], env=env, check=True)


def test_two_processes_and_the_figures_that_ship_have_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    draw_elsewhere(recorded(), one, PYTHONHASHSEED="0", LANG="C", TZ="UTC")
    (tmp_path / "matplotlibrc").write_text("font.size: 40\nsvg.fonttype: none\n")
    rc = str(tmp_path / "matplotlibrc")
    known = numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    plain = {"NPY_DISABLE_CPU_FEATURES": ",".join(known), "OPENBLAS_CORETYPE": "Prescott"}
    other = {"PYTHONHASHSEED": "9", "TZ": "Asia/Tokyo", "MATPLOTLIBRC": rc, **plain}
    draw_elsewhere(recorded(), two, **other)  # as on a processor without newer instructions
    names = sorted(path.name for path in one.iterdir())
    assert {*SVGS, "inside.png", "inside.pdf", "run.json"} == set(names)
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    if not matplotlib.__version__.startswith("3.11."):
        return  # another line spaces letters differently
    for name in SVGS:  # drawn long ago, on another machine
        shipped = (ROOT / "slides" / "public" / name).read_bytes()
        assert (one / name).read_bytes() == shipped, (
            f"slides/public/{name} is stale: run `shakegpt figures {recorded().relative_to(ROOT)}`"
        )


def test_svgs_carry_their_story_for_those_who_cannot_see_them(tmp_path: Path) -> None:
    assert make.run(FiguresConfig(runs=(str(recorded()),), out=str(tmp_path))) == 0
    for name in SVGS:
        data = (tmp_path / name).read_bytes()
        svg = Svg(data)
        assert svg.root.get("role") == "img" and svg.root.get("viewBox") == "0 0 1920 1080"
        assert svg.root.get("aria-labelledby") == "figure-title figure-desc"
        assert len(svg.desc) > 100
        assert b"#1a1a2e" in data and b"<script" not in data and b"dc:date" not in data
        assert not [
            e
            for e in svg.root.iter()
            if "http" in (e.get("{http://www.w3.org/1999/xlink}href") or "")
        ]
    numbers = json.loads((tmp_path / "run.json").read_text())
    assert numbers["alt"]["training"] == Svg((tmp_path / "training.svg").read_bytes()).desc


def test_only_and_format(tmp_path: Path) -> None:
    config = FiguresConfig(
        runs=(str(recorded()),), out=str(tmp_path), only=("training",), format=("png", "pdf")
    )
    assert make.run(config) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"training.png", "training.pdf", "run.json"}
    assert (tmp_path / "training.png").read_bytes()[16:24] == bytes([0, 0, 7, 128, 0, 0, 4, 56])


def test_without_a_name_the_newest_finished_run_is_drawn(tmp_path: Path) -> None:
    assert newest(base=tmp_path / "none") == recorded()
    logs.write(logs.talk_like(), tmp_path / "finished")
    unfinished = [r for r in logs.talk_like() if not isinstance(r, ev.End)]
    logs.write(unfinished, tmp_path / "unfinished")
    failed = [*unfinished, logs.end(20, status="failed")]
    logs.write(failed, tmp_path / "failed")
    assert newest(base=tmp_path) == tmp_path / "finished"


def test_without_a_deck_figures_stand_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = logs.write(logs.talk_like(), tmp_path / "run")
    assert make.run(FiguresConfig(runs=(str(run),), only=("training",))) == 0
    assert {p.name for p in (run / "figures").iterdir()} == {"training.svg", "run.json"}
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "slides.md").touch()
    assert make.run(FiguresConfig(runs=(str(recorded()),), only=("training",))) == 0
    assert (tmp_path / "slides/public/training.svg").is_file()
    assert (tmp_path / "slides/data/run.json").is_file()


def test_a_deck_is_never_of_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing one figure of another run draws the others again; a PNG leaves the deck alone."""
    runs = [
        logs.write(logs.talk_like(name, run_id=name), tmp_path / name)
        for name in ("pocket", "gpt2-large")
    ]
    deck = tmp_path / "slides"
    deck.mkdir()
    (deck / "slides.md").touch()
    monkeypatch.chdir(tmp_path)
    assert make.run(FiguresConfig(runs=(str(runs[1]),))) == 0
    whole = {path: path.read_bytes() for path in deck.rglob("*") if path.is_file()}
    config = FiguresConfig(runs=(str(runs[0]),), only=("training",))
    assert make.run(replace(config, format=("png",))) == 0
    assert {path: path.read_bytes() for path in deck.rglob("*") if path.is_file()} == whole
    assert (runs[0] / "figures" / "training.png").is_file()
    assert make.run(config) == 0
    run = data.read(deck / "data" / "run.json").run
    assert run.id == "pocket"
    drawn = sorted((deck / "public").glob("*.svg"))
    assert [path.stem for path in drawn] == ["architecture", "generation", "training"]
    assert all(save.digests_of(path) == [run.log_sha256] for path in drawn)
    kept = [r for r in logs.talk_like() if not isinstance(r, ev.Sample | ev.Token | ev.SampleEnd)]
    whole = {path: path.read_bytes() for path in deck.rglob("*") if path.is_file()}
    poor = logs.write(kept, tmp_path / "poor")
    with pytest.raises(ShakegptError, match="--max-new-tokens"):
        make.run(FiguresConfig(runs=(str(poor),), only=("training",)))
    assert {path: path.read_bytes() for path in deck.rglob("*") if path.is_file()} == whole


def refused(run: Path, out: Path) -> str:
    with pytest.raises(ShakegptError) as caught:
        make.run(FiguresConfig(runs=(str(run),), out=str(out)))
    assert "\n" not in str(caught.value)
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def test_what_is_no_run_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    out, run = tmp_path / "out", tmp_path / "run"
    assert "holds no run log" in refused(run, out)
    run.mkdir()
    log = run / LOG_NAME
    log.write_text('{"name": "foreign"}\n[1, 2]\n')
    assert "does not begin with the header" in refused(run, out)
    assert "line 1" in refused(run, out)
    log.write_text('{"event":"run","schema":99}\n')
    assert "schema 99" in refused(run, out)
    log.write_bytes(b"\xff\xfe\x00" * 50)
    assert "does not begin with the header" in refused(run, out)
    log.unlink()
    logs.write([logs.header()], run)
    assert "needs a loss" in refused(run, out)


def test_a_log_without_a_sample_gives_the_other_figures_and_no_half_deck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [r for r in logs.talk_like() if not isinstance(r, ev.Sample | ev.Token | ev.SampleEnd)]
    run, out = logs.write(kept, tmp_path / "run"), tmp_path / "out"
    assert "needs a recorded sample" in refused(run, out)
    config = FiguresConfig(runs=(str(run),), only=("training",))
    assert make.run(replace(config, out=str(out))) == 0
    assert [path.name for path in out.iterdir()] == ["training.svg"]
    assert f"without {out / 'run.json'}: the log of run-a has no sample" in capsys.readouterr().err
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "slides.md").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShakegptError, match="has no sample"):
        make.run(config)
    assert len(list((tmp_path / "slides").iterdir())) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ShakegptError, match=str(tmp_path / "file")) as caught:
        make.run(
            FiguresConfig(runs=(str(recorded()),), out=str(tmp_path / "file"), only=("training",))
        )
    assert caught.value.exit_code == 1


def test_a_log_is_named_by_its_file_too(tmp_path: Path) -> None:
    run = logs.write(logs.talk_like(), tmp_path / "run")
    assert named(str(run / LOG_NAME)) == named(str(run)) == run


def test_watch_shows_an_evaluation_within_a_second(tmp_path: Path) -> None:
    records = logs.talk_like()
    first = [i for i, r in enumerate(records) if isinstance(r, ev.Eval)]
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    with RunLog(run / LOG_NAME) as log:
        for record in records[: first[1]]:
            log.write(record)
        config = FiguresConfig(runs=(str(run),), out=str(out), watch=True)
        watcher = threading.Thread(target=watch.watch, args=(config,), daemon=True)
        watcher.start()
        wait_for(out, "Val loss is 4.22 before training", 20)
        log.write(records[first[1]])
        began = time.monotonic()
        wait_for(out, "5: 3.9", 20)
        assert time.monotonic() - began < 1 + slowness()
        for record in records[first[1] + 1 :]:
            log.write(record)
        watcher.join(20)
    assert not watcher.is_alive()
    assert "20: 3.7100" in (out / "training.svg").read_text()
    assert (out / "generation.svg").is_file() and (out / "run.json").is_file()


def test_a_dead_trainer_is_told_and_a_deleted_run_ends_the_watch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = [r for r in logs.talk_like(iterations=2) if not isinstance(r, ev.End)]
    run, out = logs.write(begun, tmp_path / "run"), tmp_path / "out"
    screen = Screen(FiguresConfig(only=("architecture",)), out, out / "run.json")
    source = Source(run)
    screen.report_silence(source)
    screen.report_silence(source)
    said = capsys.readouterr().err
    assert said.count("crashed at iteration 2 of 2") == said.count("\n") == 1
    assert f"--resume {run}" in said
    (run / LOG_NAME).unlink()
    with pytest.raises(ShakegptError, match=str(run)):
        follow(screen, [source])


def test_a_new_run_takes_the_deck_over_once_its_inspection_is_there(tmp_path: Path) -> None:
    old = logs.write([*logs.talk_like(run_id="old"), logs.inspection()], tmp_path / "old")
    out = tmp_path / "out"
    numbers = out / "run.json"
    assert make.run(FiguresConfig(runs=(str(old),), out=str(out))) == 0
    header = logs.header(run_id="new")
    records = [header, *logs.curve([], {0: 4.2}), *logs.sample(iteration=0)]
    source = Source(logs.write(records, tmp_path / "new"))
    screen = Screen(FiguresConfig(), out, numbers)
    for record, shown in ((None, "old"), (logs.inspection(iteration=0), "new")):
        if record is not None:
            logs.write([record], tmp_path / "new")
            source.refresh()
        screen.show([source])
        run = data.read(numbers).run
        assert run.id == shown and bool(run.stale) == (shown == "old")
        assert make.stale_figures(out, run.log_sha256) == []


def test_a_watch_waits_for_its_run_and_marks_the_deck_until_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deck = tmp_path / "slides"
    deck.mkdir()
    (deck / "slides.md").touch()
    monkeypatch.chdir(tmp_path)
    assert make.run(FiguresConfig(runs=(str(recorded()),))) == 0
    numbers, new = deck / "data" / "run.json", tmp_path / "new"
    before = data.read(numbers).run.id

    def until(holds: Callable[[RunInfo], bool]) -> None:
        limit = time.monotonic() + 30
        while not holds(data.read(numbers).run):
            assert time.monotonic() < limit
            time.sleep(0.02)

    config = FiguresConfig(runs=(str(new),), watch=True)
    watcher = threading.Thread(target=watch.watch, args=(config,), daemon=True)
    watcher.start()
    until(lambda run: run.stale == f"waiting for {new} to begin")
    records = logs.talk_like(run_id="new")
    new.mkdir()
    with RunLog(new / LOG_NAME) as log:
        log.write(records[0])
        until(lambda run: run.stale.startswith("run new has too few records"))
        assert data.read(numbers).run.id == before
        assert make.stale_figures(deck / "public", data.sha256(recorded() / LOG_NAME)) == []
        for record in records[1:]:
            log.write(record)
        watcher.join(30)
    assert not watcher.is_alive()
    run = data.read(numbers).run
    assert (run.id, run.stale, run.log_sha256) == ("new", "", data.sha256(new / LOG_NAME))
    assert make.stale_figures(deck / "public", run.log_sha256) == []


@pytest.mark.parametrize(
    ("status", "said"),
    [(None, "crashed"), ("stopped", "stopped"), ("failed", "failed")],
)
def test_the_terminal_says_what_became_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: ev.Status | None, said: str
) -> None:
    begun = [r for r in logs.talk_like(iterations=2) if not isinstance(r, ev.End)]
    ended = [logs.end(2, status=status)] if status else []
    run = logs.write([*begun, *ended], tmp_path / "run")
    config = FiguresConfig(runs=(str(run),), out=str(tmp_path / "out"), only=("training",))
    assert make.run(config) == 0
    assert f"from {run} ({said} at iteration 2 of 2)" in capsys.readouterr().out
    drawn = Svg((tmp_path / "out" / "training.svg").read_bytes()).desc
    assert f"{said if status else 'unfinished'} at iteration 2 of 2" in drawn


def wait_for(out: Path, words: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        svg = out / "training.svg"
        if svg.is_file() and words in svg.read_text():  # whole at every instant
            return
        time.sleep(0.02)
    raise AssertionError(f"{words!r} did not appear in training.svg")


def slowness() -> float:
    """How much longer than on an idle machine things take here, seconds: two others per core."""
    return max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1)
