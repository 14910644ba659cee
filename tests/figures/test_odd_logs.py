"""Whatever a log holds: figures are well-formed and readable, or a sentence says why not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from html import unescape
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt_figures import architecture, generation, glyphs, make, save, style, training
from tests.figures import logs
from tests.figures.looks import Svg, complaints

SLOW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LOSSES = st.one_of(st.none(), st.floats(1e-3, 20), st.floats(1e-6, 1e8))
AWKWARD = [
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    "\"quoted\" & 'single'",
    "$x^2$ \\alpha $",
    "-->",
    "]]>",
    "שלום",
    "مرحبا",
    "中文宽字",
    "\u202egnp.exe",
    "\x1b[31m",
    "\x00\ufffe",
    "e\u0301\u0302\u0303",
    "👩‍👩‍👧",
    "\n\n\n",
    "   ",
    "�",
    "a" * 300,
]
TOGETHER = [AWKWARD[n : n + 3] for n in range(0, len(AWKWARD), 3)]
"""A figure holds three: each drawn text is looked for in it."""
TEXTS = st.one_of(st.sampled_from(AWKWARD), st.text(max_size=12))


@st.composite
def curves(draw: st.DrawFn) -> list[ev.Event]:
    """A run of 1 to 8 iterations with gaps of every kind, maybe unfinished."""
    iterations, micro = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    row = st.lists(LOSSES, min_size=micro, max_size=micro)
    losses = draw(st.lists(row, min_size=iterations, max_size=iterations))
    vals = draw(st.dictionaries(st.integers(0, iterations), LOSSES, max_size=5))
    status: ev.Status | None = draw(st.sampled_from([None, "finished", "failed", "stopped"]))
    head = logs.header(max_iters=draw(st.integers(1, 2000)))
    tail = [logs.end(iterations, status=status)] if status else []
    return [head, *logs.curve(losses, vals), *tail]


def svg(draw: Callable[[Sequence[History]], Any], name: str, history: History) -> Svg:
    figure = draw([history])
    assert complaints(figure) == []
    return Svg(save.render(figure, "svg", *make.description(name, [history])))


@SLOW
@given(curves())
def test_any_curves_are_readable_or_refused_in_a_sentence(records: list[ev.Event]) -> None:
    history = logs.history(records)
    finite = [p.loss for p in history.progress.values() if p.loss is not None]
    finite += [e.val_loss for e in history.evals.values() if e.val_loss is not None]
    if not finite:
        with pytest.raises(ShakegptError, match="needs a loss"):
            training.draw([history])
        return
    drawn = svg(training.draw, "training", history)
    shown = sum(e.val_loss is not None for e in history.evals.values())
    assert len(list(drawn.group("evaluations").iter("{http://www.w3.org/2000/svg}use"))) == shown


@SLOW
@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS)
def test_any_sample_is_drawn_as_text(texts: list[str], prompt: str) -> None:
    history = logs.history([logs.header(), *logs.sample(texts, prompt), logs.end(20)])
    drawn = svg(generation.draw, "generation", history)
    tags = {e.tag for e in drawn.root.iter() if isinstance(e.tag, str)}
    assert not any(tag.endswith("script") for tag in tags)


@pytest.mark.parametrize("texts", TOGETHER, ids=lambda some: ascii(some[0])[:20])
def test_awkward_texts(texts: list[str]) -> None:
    history = logs.history([logs.header(), *logs.sample(texts, texts[0]), logs.end(20)])
    shown = [plain(word) for word in svg(generation.draw, "generation", history).words]
    for text in texts:
        room, size = generation.COLUMN - 60, style.BODY + 4
        assert plain(glyphs.token(text, room, size, bold=True)[0]) in shown


def plain(text: str) -> str:
    """What of a text an XML comment, where the words of an outline stand, leaves as it is."""
    return re.sub(r"[\s-]", "", unescape(text))


@pytest.mark.parametrize("names", TOGETHER, ids=lambda some: ascii(some[0])[:20])
def test_awkward_names_in_a_header(names: list[str]) -> None:
    header = logs.header()
    named = msgspec.structs.replace(
        header,
        run_id=names[0],
        device=names[1],
        model=msgspec.structs.replace(header.model, name=names[2]),
        dataset=msgspec.structs.replace(header.dataset, name=names[0]),
    )
    history = logs.history([named, *logs.talk_like(iterations=1)[1:]])
    svg(training.draw, "training", history)
    if "<script>alert(1)</script>" in names:  # the same heading
        svg(architecture.draw, "architecture", history)
        svg(generation.draw, "generation", history)


def test_what_has_no_glyph_becomes_an_escape() -> None:
    assert glyphs.drawable("中\x1b") == "\\u4e2d\\u001b"
    assert glyphs.token(" the\n", 400, 30)[0] == "␣the↵"
    assert glyphs.token("$x$", 400, 30)[0] == "$x$"
    assert glyphs.token("w" * 90, 100, 30)[0].endswith("…")


def test_thousands_of_steps_stay_a_small_file() -> None:
    history = logs.history(
        logs.talk_like(iterations=6000, micro_steps=2, eval_interval=100, goal=2.0)
    )
    data = save.render(training.draw([history]), "svg", *make.description("training", [history]))
    drawn = Svg(data)
    assert "train loss of 1 micro-batch in 4" in drawn.words
    assert "mean of 50" in drawn.words
    assert len(data) < 1_000_000
    assert complaints(training.draw([history])) == []


@pytest.mark.parametrize("odd", [5e-324, 1e200])
def test_losses_at_the_edge_of_numbers_are_drawn(odd: float) -> None:
    records = logs.curve([[4.0, 3.5], [3.0, 2.5]], {0: 4.0, 1: odd, 2: 3.0})
    svg(training.draw, "training", logs.history([logs.header(), *records, logs.end(2)]))


def test_an_unfinished_run_says_how_far_it_is() -> None:
    records = [r for r in logs.talk_like() if not isinstance(r, ev.End)]
    running = [r for r in records if getattr(r, "iteration", 0) <= 7]
    words = svg(training.draw, "training", logs.history(running)).words
    assert any(word.startswith("unfinished at iteration 7 of 20 ·") for word in words)
    failed = logs.history([*running, logs.end(7, status="failed")])
    assert any(
        "failed at iteration 7 of 20" in word
        for word in svg(training.draw, "training", failed).words
    )


@pytest.mark.parametrize(
    ("figure", "missing"),
    [(training, "needs a loss"), (generation, "needs a recorded sample")],
)
def test_a_log_without_it_says_what_is_missing(figure: Any, missing: str) -> None:
    with pytest.raises(ShakegptError, match=missing):
        figure.draw([logs.history([logs.header()])])


@pytest.mark.parametrize("figure", [training, architecture, generation])
def test_a_log_without_a_header_says_so(figure: Any) -> None:
    with pytest.raises(ShakegptError, match="no `run` record"):
        figure.draw([logs.history(logs.talk_like()[1:])])


def test_a_log_cut_anywhere_is_a_figure_or_a_sentence(tmp_path: Any) -> None:
    whole = logs.write(logs.talk_like(), tmp_path / "whole")
    data = (whole / "log.jsonl").read_bytes()
    from shakegpt_figures.source import Source

    for number in range(12):
        run = tmp_path / f"cut-{number}"
        run.mkdir()
        (run / "log.jsonl").write_bytes(data[: len(data) * number // 11])
        try:
            make.rendered(
                make.FIGURES[number % 3 :][:1], [Source(run).checked()], tmp_path, ["svg"], [""]
            )
        except ShakegptError as error:
            assert "\n" not in str(error) and str(error)
    assert json.loads(data.splitlines()[0])["event"] == "run"
