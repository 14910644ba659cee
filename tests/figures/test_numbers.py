"""The numbers in the SVGs are the log's: read back from positions, words and descriptions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shakegpt.errors import ShakegptError
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import finite_evals, loss_of, parameters
from shakegpt_figures import architecture, generation, make, save, training
from tests.figures import logs
from tests.figures.looks import Svg

FIGURES = {"training": training, "architecture": architecture, "generation": generation}


def svg(name: str, *histories: History) -> Svg:
    figure = FIGURES[name].draw(histories)
    return Svg(save.render(figure, "svg", *make.description(name, histories)))


def run(**how: Any) -> History:
    return logs.history(logs.talk_like(**how))


@pytest.mark.parametrize("name", ["pocket", "gpt2-large"])
def test_the_rings_stand_where_the_log_has_its_evaluations(name: str) -> None:
    history = run(name=name)
    drawn = svg("training", history).points("evaluations")
    told = [(e.iteration, loss_of(e)) for e in finite_evals(history)]
    assert len(drawn) == len(told) == 5
    for (x, y), (iteration, loss) in zip(drawn, told, strict=True):
        assert x == pytest.approx(iteration, abs=0.01)
        assert y == pytest.approx(loss, abs=0.002)


def test_each_dot_is_a_micro_batch_at_the_weights_that_it_met() -> None:
    history = run(name="gpt2-large")
    drawn = svg("training", history).points("micro-batches")
    told = [history.progress[key] for key in sorted(history.progress)]
    assert len(drawn) == len(told) == 640
    for (x, y), record in zip(drawn, told, strict=True):
        assert round(x) == record.iteration - 1
        assert y == pytest.approx(record.loss, abs=0.003)


def test_start_best_and_percent_are_said() -> None:
    drawn = svg("training", run(name="gpt2-large"))
    assert {"3.66", "2.86", "−22%"} <= set(drawn.words)
    assert "0: 3.6600" in drawn.desc and "20: 2.8600" in drawn.desc


def test_a_run_that_gets_worse_says_so() -> None:
    drawn = svg("training", run(start=4.0, goal=8.0))
    assert "Val loss rises from 4.00 to 8.00 in 20 iterations" in drawn.words
    assert "+100%" in drawn.words


def test_a_best_before_the_end_is_told_from_the_last() -> None:
    vals: dict[int, float | None] = {0: 4.0, 5: 3.0, 10: 3.5}
    history = logs.history([logs.header(), *logs.curve([[3.5]] * 10, vals), logs.end(10)])
    words = svg("training", history).words
    assert {"4.00", "3.00", "−25%", "3.50", "last, after 10 iterations"} <= set(words)
    assert "Val loss falls from 4.00 to 3.00 in 5 iterations" in words


def test_several_runs_are_named_by_what_differs() -> None:
    slow = run(goal=3.95, learning_rate=3e-4, run_id="b")
    words = svg("training", run(), slow).words
    assert {"lr 1e-3", "lr 3e-4", "3.71  −12%", "3.95  −6.4%"} <= set(words)


@pytest.mark.parametrize("name", sorted(logs.SHAPES))
def test_the_counts_of_the_parts_add_up(name: str) -> None:
    model = logs.model(name)
    drawn = svg("architecture", run(name=name))
    counts = [int(w.replace(",", "")) for w in drawn.words if re.fullmatch(r"[\d,]+", w)]
    part = parameters(model)
    assert {part.wte, part.wpe, part.ln_f, part.blocks} <= set(counts)
    one_block = counts[counts.index(part.block) + 1 :]
    assert sum(one_block) == part.block
    assert part.wte + part.wpe + part.blocks + part.ln_f == model.n_params
    assert f"{model.n_params:,}" in drawn.desc


@pytest.mark.parametrize(
    ("name", "published"),
    [("gpt2", 124_439_808), ("gpt2-large", 774_030_080), ("gpt2-xl", 1_557_611_200)],
)
def test_the_arithmetic_gives_the_published_totals(name: str, published: int) -> None:
    assert parameters(logs.model(name)).total == published


def test_a_model_whose_counts_do_not_add_up_is_refused() -> None:
    import msgspec

    header = logs.header()
    lying = msgspec.structs.replace(
        header, model=msgspec.structs.replace(header.model, n_params=header.model.n_params + 1)
    )
    with pytest.raises(ShakegptError, match="5,853,185"):
        architecture.draw([logs.history([lying])])


def test_bars_show_the_recorded_probabilities() -> None:
    history = run()
    drawn = svg("generation", history)
    steps = history.samples[-1].tokens[:3]
    for step in steps:
        for candidate in step.candidates[:5]:
            said = generation.share_text(candidate.probability)
            assert said in drawn.words or f"{said} ◀" in drawn.words
        assert f"{generation.share_text(step.probability)} ◀" in drawn.words
        assert f"{100 * step.probability:.1f}%" in drawn.desc


def test_a_step_has_its_drawn_token_and_all_the_others() -> None:
    import msgspec

    sample = run().samples[-1]
    far = msgspec.structs.replace(
        sample.tokens[0], id=4000, text="zounds", probability=0.001, rank=77
    )
    rows = generation.rows(far, sample)
    assert [row.text for row in rows][-2:] == ["zounds", None]
    assert [row.drawn for row in rows] == [False] * 4 + [True, False]
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert generation.share_text(0.001) == "<1%"
