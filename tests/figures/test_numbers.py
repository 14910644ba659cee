"""The numbers in the SVGs are the log's: read back from positions, words and descriptions."""

from __future__ import annotations

import re
from typing import Any

import numpy
import pytest

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History
from shakegpt.runlog.metrics import finite_evals, loss_of, parameters
from shakegpt_figures import architecture, generation, make, samples, save, training, words
from tests.figures import logs
from tests.figures.looks import Svg, complaints

FIGURES = {
    "training": training,
    "architecture": architecture,
    "generation": generation,
    "samples": samples,
}


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


def test_start_and_best_are_losses_and_numbers_of_equally_likely_tokens() -> None:
    drawn = svg("training", run(name="gpt2-large"))
    told = {"39", "loss 3.66 at the start", "17", "best: loss 2.86 at iteration 20"}
    assert told <= set(drawn.words)
    assert "0: 3.6600" in drawn.desc and "20: 2.8600" in drawn.desc


def test_a_run_that_gets_worse_says_so() -> None:
    drawn = svg("training", run(start=4.0, goal=4.8))
    assert "Val loss rises from 4.00 to 4.80 in 20 iterations" in drawn.words
    assert {"55", "122"} <= set(drawn.words)


def test_a_best_before_the_end_is_told_from_the_last() -> None:
    vals: dict[int, float | None] = {0: 4.0, 5: 3.0, 10: 3.5}
    history = logs.history([logs.header(), *logs.curve([[3.5]] * 10, vals), logs.end(10)])
    drawn = svg("training", history).words
    assert {"best: loss 3.00 at iteration 5", "last: loss 3.50 at iteration 10"} <= set(drawn)
    assert "Val loss falls from 4.00 to 3.00, then rises to 3.50" in drawn


def test_several_runs_are_named_by_what_differs() -> None:
    slow = run(goal=3.95, learning_rate=3e-4, run_id="b")
    drawn = svg("training", run(), slow).words
    assert {"lr 1e-3", "lr 3e-4", "3.71", "3.95"} <= set(drawn)


@pytest.mark.parametrize("name", sorted(logs.SHAPES))
def test_the_counts_of_the_parts_add_up(name: str) -> None:
    model = logs.model(name)
    drawn = svg("architecture", run(name=name))
    counts = [int(w.replace(",", "")) for w in drawn.words if re.fullmatch(r"\d[\d,]*", w)]
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
    sample = history.samples[-1]
    first = words.first_unsure(sample)
    for step in sample.tokens[first : first + 3]:
        for candidate in step.candidates[:5]:
            said = generation.share_text(candidate.probability)
            assert said in drawn.words
        assert f"{step.rank}" in drawn.words
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


def test_a_step_begins_where_the_model_was_unsure_and_keeps_true_ranks() -> None:
    import msgspec

    history = run()
    sample = history.samples[-1]
    sure = [
        msgspec.structs.replace(
            token, candidates=(msgspec.structs.replace(token.candidates[0], probability=0.99),)
        )
        for token in sample.tokens[:4]
    ]
    far = msgspec.structs.replace(sample.tokens[4], id=4000, text="zounds", rank=71)
    sample.tokens[:5] = [*sure, far]
    assert words.first_unsure(sample) == 4
    drawn = svg("generation", history)
    assert {"71", "zounds"} <= set(drawn.words) and "5: the likeliest" in drawn.desc


@pytest.mark.parametrize("u", [0.0, 0.37, 0.999])
def test_the_needle_stands_where_the_random_number_fell(u: float) -> None:
    import msgspec

    history = run()
    sample = history.samples[-1]
    first = words.first_unsure(sample)
    sample.tokens[first] = msgspec.structs.replace(sample.tokens[first], u=u)
    figure = generation.draw([history])
    (needle,) = [line for line in figure.axes[0].get_lines() if line.get_gid() == "needle"]
    place = generation.VERBS + u * generation.COLUMN
    assert numpy.asarray(needle.get_xdata())[0] == pytest.approx(place)


def test_the_samples_before_and_after_stand_beside_each_other() -> None:
    before = logs.sample([" prose"], prompt="ROMEO:", iteration=0, number=0)
    after = logs.sample(["\nSoft!", "\n\nMARGOLIUS:\n", "Ay."], iteration=20, number=1)
    history = logs.history([logs.header(), *before, *after, logs.end(20)])
    drawn = svg("samples", history)
    assert {"Before training", "After 20 iterations", "MARGOLIUS", "invented"} <= set(drawn.words)
    assert drawn.words.count("invented") == 1
    with pytest.raises(ShakegptError, match="two recorded samples"):
        samples.draw([logs.history([logs.header(), *logs.sample()])])


def test_recorded_attention_is_drawn_as_it_was_paid() -> None:
    history = run()
    sample = history.samples[-1]
    drawn = tuple((token.id, token.text) for token in sample.tokens[:4])
    rows = tuple(tuple([100] * (row + 1) + [600]) for row in range(4))  # the prompt has two tokens
    sample.inspection = ev.Inspection(
        iteration=20,
        sample=sample.start.sample,
        context=((1, "RO"), (2, "MEO:"), *drawn[:3]),
        drawn=drawn,
        ladder=(),
        texts={},
        attention=(ev.AttentionMap(block=0, head=None, rows=rows),),
    )
    figure = architecture.draw([history])
    cells = [p for p in figure.axes[0].patches if p.get_gid() == "attention"]
    assert len(cells) == 4 * 5 // 2  # no token looks ahead
    strong = [cell for cell in cells if cell.get_alpha() == 1]
    assert len(strong) == 4
    assert complaints(figure) == []
