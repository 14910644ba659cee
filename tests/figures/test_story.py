"""The deck's sentences and the figures' titles follow the run: its text, its start, its outcome."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt_figures import compare, data, make, numbers, words
from shakegpt_figures.rundata import RunData
from shakegpt_figures.story import outcome
from tests.figures import logs

Vals = dict[int, float | None]
OUTCOMES: dict[str, Vals] = {
    "learned": {0: 3.6, 5: 3.2, 10: 2.9, 20: 2.86},
    "overfitted": {0: 3.6, 5: 2.95, 10: 3.1, 20: 3.4},
    "diverged": {0: 3.6, 5: None, 10: None},
    "worse": {0: 3.6, 10: 3.7, 20: 3.9},
    "unchanged": {0: 3.6, 10: 3.601, 20: 3.6},
    "unmeasured": {0: 3.6},
}


def events(
    vals: Vals, text: str = "my-novel.txt", scratch: bool = False, loss: float | None = 3.3
) -> list[ev.Event]:
    """A run on an own text with these evaluations."""
    run = logs.header(init_from="scratch" if scratch else "pocket")
    dataset = msgspec.structs.replace(run.dataset, name=text, sha256="1" * 64, speakers=())
    model = msgspec.structs.replace(run.model, name="scratch" if scratch else "pocket")
    run = msgspec.structs.replace(run, dataset=dataset, model=model)
    body = logs.curve([[loss, loss and loss + 0.1]] * max(vals), vals)
    sample = logs.sample(["It", " was", " a", " night"], prompt="It", iteration=max(vals))
    return [run, *body, *sample, logs.end(max(vals))]


def told(records: Sequence[ev.Event], where: Path) -> RunData:
    return data.run_data(logs.history(records), logs.write(records, where) / "log.jsonl")


def sentences(run: RunData) -> str:
    """All that the deck says of a run, the placeholders filled in."""
    built = msgspec.to_builtins(run)

    def filled(found: re.Match[str]) -> str:
        place: Any = built
        for key in found[1].split("."):
            place = place[key]
        return str(place["text"] if isinstance(place, dict) else place)

    def texts(value: Any) -> list[str]:
        inner = value.values() if isinstance(value, dict) else value
        return [value] if isinstance(value, str) else [t for v in inner for t in texts(v)]

    return "\n".join(re.sub(r"\{([\w.]+)\}", filled, t) for t in texts(built["story"]))


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_outcome_is_named_and_nothing_else_is_claimed(kind: str, tmp_path: Path) -> None:
    records = events(OUTCOMES[kind])
    assert outcome(logs.history(records)) == kind
    run = told(records, tmp_path / "run")
    assert run.run.outcome == kind
    said = sentences(run)
    assert "my novel" in said and "Shakespeare" not in said and "{" not in said
    assert ("quick" in said) == (kind == "learned")
    assert ("learns" in run.story.title) == (kind in ("learned", "overfitted"))
    assert ("diverge" in said) == (kind == "diverged")
    assert ("overfit" in said) == (kind == "overfitted")
    assert ("is noisy" in said) == (kind not in ("diverged", "unmeasured"))
    title = words.training_title(logs.history(records))
    assert ("diverges" in title) == (kind == "diverged")
    assert ("then rises to 3.40" in title) == (kind == "overfitted")


def test_finetuning_of_many_iterations_is_not_called_quick(tmp_path: Path) -> None:
    said = sentences(told(events({0: 3.6, 500: 3.0}), tmp_path / "run"))
    assert "Finetuning works." in said and "quick" not in said


@pytest.mark.parametrize(
    ("passages", "sentence", "marked"),
    [
        (None, "", []),
        ((), "The last sample has no four words in a row from the training text.", []),
        # "was a\nnight by", over a line break; offsets count from the end of the prompt
        (
            ((1, 15, 4, 90),),
            "text in the last sample is 4 words.",
            [(3, 8), (0, 8)],
        ),
    ],
)
def test_what_was_copied_is_marked_and_said(
    passages: tuple[tuple[int, int, int, int], ...] | None,
    sentence: str,
    marked: list[tuple[int, int]],
    tmp_path: Path,
) -> None:
    run, *body = events(OUTCOMES["learned"])
    curves = [e for e in body if isinstance(e, ev.Progress | ev.Step | ev.Eval)]
    sample = [*logs.sample([" was", " a\n", "night by", " day"], prompt="It", iteration=20)]
    if passages is not None:
        sample.append(ev.Copies(iteration=20, sample=0, passages=passages))
    deck = told([run, *curves, *sample, logs.end(20)], tmp_path / "run")
    assert sentence in sentences(deck)
    assert ("training text" in sentences(deck)) == bool(sentence)
    assert [span for line in deck.sample.lines for span in line.copied] == marked


def test_an_explosion_is_a_divergence_in_readable_numbers(tmp_path: Path) -> None:
    records = events({0: 3.6, 10: 40.0, 20: 9000.0})
    assert words.training_title(logs.history(records)).endswith("from 3.60 to 9,000")
    assert "9,000: training diverged" in sentences(told(records, tmp_path / "run"))
    assert [numbers.loss(x) for x in (3.6, 9e3, 1.2e8)] == ["3.60", "9,000", "1.2 × 10⁸"]


def test_train_loss_that_is_lost_before_the_next_evaluation_is_a_divergence() -> None:
    assert outcome(logs.history(events({0: 3.6, 10: 3.0}, loss=None))) == "diverged"


def test_a_model_from_scratch_is_not_said_to_have_learned_before(tmp_path: Path) -> None:
    said = sentences(told(events(OUTCOMES["learned"], scratch=True), tmp_path / "run"))
    assert "random numbers" in said
    assert not re.search("already|English|[Ff]inetun|checkpoint|pretrain", said)
    assert "trained on English" in sentences(told(events(OUTCOMES["learned"]), tmp_path / "pre"))


def test_the_curve_on_the_first_slide_is_that_of_the_figure(tmp_path: Path) -> None:
    run = told(events(OUTCOMES["learned"]), tmp_path / "run")
    assert [iteration for iteration, _ in run.curves.train] == list(range(20))


def test_bytes_without_their_character_and_the_end_of_a_text_are_not_shown(tmp_path: Path) -> None:
    records = events(OUTCOMES["learned"])[:-6]
    texts = ["Мой", "", "�<|endoftext|>"]
    run = told(
        [*records, *logs.sample(texts, prompt="Он: ", iteration=20), logs.end(20)], tmp_path / "run"
    )
    assert [line.text for line in run.sample.lines] == ["Он: Мой"]


def test_sequences_are_kept_on_one_line(tmp_path: Path) -> None:
    run = told(events(OUTCOMES["learned"]), tmp_path / "run")
    assert run.settings.sequences.text == "8 × 4".replace(" ", "\N{NO-BREAK SPACE}")


def other(run_id: str, vals: Vals, **dataset: Any) -> list[ev.Event]:
    run, *rest = events(vals)
    assert isinstance(run, ev.Run)
    text = msgspec.structs.replace(run.dataset, **dataset)
    return [msgspec.structs.replace(run, run_id=run_id, dataset=text), *rest]


def test_runs_of_different_texts_are_not_ranked() -> None:
    runs = [events({0: 3.6, 20: 3.0}), other("b", {0: 3.6, 20: 2.0}, sha256="2" * 64)]
    with pytest.raises(ShakegptError, match="different texts"):
        compare.unit([logs.history(run) for run in runs])


def test_other_vocabularies_are_compared_by_characters() -> None:
    """Fewer tokens for the same text: each is harder to predict, yet the text may be easier."""
    small = logs.history(other("small", {0: 4.0, 20: 3.0}, train_tokens=3_000_000))
    large = logs.history(other("large", {0: 5.0, 20: 4.0}, train_tokens=1_500_000))
    assert compare.unit([small, large]) == "bits per character"
    assert compare.best(large, "bits per character") < compare.best(small, "bits per character")
    assert compare.title([small, large]).startswith("Lowest of 2 runs: large, bits per character")


def test_a_deck_after_a_comparison_is_that_of_the_winner(tmp_path: Path) -> None:
    from shakegpt.config import FiguresConfig

    for name, last in (("late", 3.2), ("early", 2.86)):
        logs.write(other(name, {0: 3.6, 20: last}), tmp_path / name)
    out = tmp_path / "out"
    runs = tuple(str(tmp_path / name) for name in ("late", "early"))
    assert make.run(FiguresConfig(runs=runs, out=str(out))) == 0
    run = data.read(out / "run.json")
    assert run.run.id == "early" and "2.86" in numbers.loss(run.curves.best.value)
    assert make.stale_figures(out, run.run.log_sha256) == []
