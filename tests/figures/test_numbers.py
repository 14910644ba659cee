"""The numbers in the SVGs are the log's: read back from positions, words and descriptions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.default_run import recorded
from shakegpt.runlog.history import History, load
from shakegpt.runlog.metrics import bits_per_character, finite_evals, loss_of, parameters
from shakegpt_figures import (
    architecture,
    data,
    generation,
    inside,
    make,
    samples,
    save,
    style,
    training,
    words,
)
from tests.figures import logs
from tests.figures.looks import Svg, blended, complaints, contrast

FIGURES = {
    "training": training,
    "architecture": architecture,
    "generation": generation,
    "samples": samples,
    "inside": inside,
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
    with pytest.raises(ShakegptError, match="--max-new-tokens"):
        samples.draw([logs.history([logs.header(), *logs.sample()])])


def test_recorded_attention_is_drawn_as_it_was_paid() -> None:
    history = run()
    sample = history.samples[-1]
    rows = tuple(tuple([40] * (row + 5) + [600]) for row in range(4))  # the prompt has six tokens
    sample.inspection = msgspec.structs.replace(
        logs.inspection(leads=(1, 2, 3, 4)),
        attention=(ev.AttentionMap(block=0, head=None, rows=rows),),
    )
    figure = architecture.draw([history])
    cells = [p for p in figure.axes[0].patches if p.get_gid() == "attention"]
    assert len(cells) == 4 * 5 // 2  # no token looks ahead
    strong = [cell for cell in cells if cell.get_alpha() == 1]
    assert len(strong) == 4
    assert complaints(figure) == []


def found(figure: Figure, gid: str) -> list[Rectangle]:
    """The rectangles of a figure with this id, from top left, row by row."""
    patches = [p for p in figure.axes[0].patches if p.get_gid() == gid]
    rectangles = [p for p in patches if isinstance(p, Rectangle)]
    return sorted(rectangles, key=lambda p: (p.get_y(), p.get_x()))


@pytest.mark.parametrize("n_layer", [1, 4, 36])
def test_the_inside_is_drawn_as_it_was_recorded(n_layer: int) -> None:
    """Guesses shaded by probability, the drawn token's first lead outlined, before and after."""
    leads = tuple(min(lead, n_layer) for lead in (2, 4, 4, 1, 0, 3))
    record = logs.inspection(leads=leads, n_layer=n_layer, before=0.09)
    history = logs.history([*logs.talk_like(), record])
    figure = inside.draw([history])
    assert complaints(figure) == []
    guesses, columns = found(figure, "guess"), min(n_layer + 1, inside.BLOCKS)
    assert len(guesses) == columns * len(leads)
    shares = [float(cell.get_alpha() or 0) / inside.SHADE for cell in guesses[:columns]]
    assert shares[0] == pytest.approx(0.2) and shares[-1] == pytest.approx(0.9)
    for cell in guesses:
        ground = blended(style.CYAN, float(cell.get_alpha() or 0), style.BACKGROUND)
        assert contrast(style.INK, ground) >= 4.5
    blocks = sorted({round(k * n_layer / (inside.BLOCKS - 1)) for k in range(inside.BLOCKS)})
    rings = [round((ring.get_y() - inside.TOP) // inside.ROW) for ring in found(figure, "first")]
    drawn = [row for row in range(len(leads)) if row % 3 != 2]
    assert rings == drawn  # the others were never the likeliest
    first = next(k for k, block in enumerate(blocks) if block >= leads[0])
    assert found(figure, "first")[0].get_x() == guesses[first].get_x()
    cells = [cell for cell in found(figure, "attention")]
    assert len(cells) == sum(6 + row for row in range(len(leads)))  # none looks ahead
    before, now = found(figure, "chance")[:2]
    assert before.get_width() / now.get_width() == pytest.approx(0.1)
    mean = sum(leads) / len(leads)
    assert f"leads from block {mean:.1f} of {n_layer} on" in " ".join(svg("inside", history).words)


def test_a_log_without_the_record_has_no_figure_of_the_inside(tmp_path: Path) -> None:
    from shakegpt.config import FiguresConfig

    with pytest.raises(ShakegptError, match="inspection"):
        inside.draw([run()])
    old, new = logs.talk_like(), [*logs.talk_like(run_id="new"), logs.inspection()]
    paths = [logs.write(records, tmp_path / name) for name, records in (("o", old), ("n", new))]
    out = tmp_path / "out"
    for path, there in ((paths[1], True), (paths[0], False)):
        assert make.run(FiguresConfig(runs=(str(path),), out=str(out))) == 0
        assert (out / "inside.svg").exists() is there
    config = FiguresConfig(runs=(str(paths[0]),), out=str(out), only=("inside",))
    with pytest.raises(ShakegptError, match="inspection"):
        make.run(config)


def test_copied_words_are_underlined() -> None:
    before = logs.sample([" prose"], prompt="ROMEO:", iteration=0, number=0)
    after = logs.sample([" the cat sat on", " the mat."], prompt="ROMEO:", number=1)
    copies = ev.Copies(iteration=20, sample=1, passages=((1, 15, 4, 0),))
    history = logs.history([logs.header(), *before, *after, copies, logs.end(20)])
    figure = samples.draw([history])
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_gid() == "copied"]
    left, right = numpy.asarray(line.get_xdata())
    wide = style.width("the cat sat on", style.BODY)
    assert right - left == pytest.approx(wide, abs=8)  # ink is narrower than its line
    assert "longest copy: 4 words" in svg("samples", history).words


def test_a_sample_without_spaces_is_broken_into_lines_and_not_cut() -> None:
    text = "".join(chr(ord("а") + n % 32) for n in range(150))
    before = logs.sample([" prose"], prompt="Он: ", iteration=0, number=0)
    after = logs.sample([text], prompt="Он: ", iteration=20, number=1)
    history = logs.history([logs.header(), *before, *after, logs.end(20)])
    assert complaints(samples.draw([history])) == []
    drawn = "".join(svg("samples", history).words)
    assert text[:100] in drawn


def test_bytes_of_a_character_are_told_apart_where_the_vocabulary_is_gpt2s() -> None:
    history = run()
    sample = history.samples[-1]
    first = words.first_unsure(sample)
    ids = {"O": 46, ",": 11, ":": 25}
    sample.tokens[:] = [
        msgspec.structs.replace(
            token,
            candidates=tuple(
                msgspec.structs.replace(c, id=ids.get(c.text, c.id)) for c in token.candidates
            ),
        )
        for token in sample.tokens
    ]
    step = sample.tokens[first]
    byte = msgspec.structs.replace(step.candidates[0], id=160, text="\ufffd")
    sample.tokens[first] = msgspec.structs.replace(step, candidates=(byte, *step.candidates[1:]))
    assert "0xE4" in svg("generation", history).words
    sample.tokens[first + 1] = msgspec.structs.replace(
        sample.tokens[first + 1],
        candidates=(msgspec.structs.replace(step.candidates[1], id=7, text="O"),),
    )
    assert {"(byte)"} <= set(svg("generation", history).words)


def test_bits_per_character_are_those_of_the_evaluations() -> None:
    """As on the console: the validation text has other tokens per character than the whole."""
    history = load(recorded())[0]
    for evaluation in history.evals.values():
        nats, tokens, characters = evaluation.val_loss, evaluation.tokens, evaluation.characters
        assert nats is not None and characters
        assert data.bits(history, nats) == bits_per_character(nats, tokens, characters)
