"""The narrator: what it says is what the numbers of the log say, recomputed here another way."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import msgspec
import pytest

from shakegpt.runlog import schema as ev
from shakegpt.runlog.history import History, SampleView, load
from shakegpt.runlog.metrics import longest_copy
from shakegpt_tui.run.narrator import choices, narrate, outcome, speeches
from tests.tui import logs

RECORDED = Path(__file__).parents[2] / "figures/shakegpt_figures/recorded"


@pytest.fixture(scope="module")
def recorded() -> History:
    return load(RECORDED)[0]


def said(history: History, iteration: int) -> str:
    return "\n".join(s.text for s in narrate(history) if s.iteration == iteration)


def test_a_recorded_run_from_its_numbers(recorded: History) -> None:
    sentences = narrate(recorded)
    assert [s.iteration for s in sentences] == sorted(s.iteration for s in sentences)
    for iteration, evaluation in recorded.evals.items():
        assert evaluation.val_loss is not None
        text = said(recorded, iteration)
        assert f"{evaluation.val_loss:.2f}" in text
        assert f"{math.exp(evaluation.val_loss):.0f} " in text
    start, best = (e.val_loss or 0.0 for e in (recorded.evals[0], recorded.evals[20]))
    assert f"among {math.exp(start):.0f} equally likely" in said(recorded, 0)
    assert outcome(recorded).endswith(f"{math.exp(start):.0f} choices → {math.exp(best):.0f}")
    for view in recorded.samples:
        # alone on a line but for the prompt's: in capitals, or capitalized below a blank line
        matches = re.finditer(
            r"^[^a-z:.,\n]+(?=[:.]$)|(?<=\n\n)[A-Z][^.:,\s]*(?: [A-Z][^.:,\s]*)*(?=:$)",
            view.text,
            re.MULTILINE,
        )
        names = [match[0] for match in matches]
        assert speeches(view) == names
        lines = sum(bool(line.strip()) for line in view.text.split("\n"))
        assert f"{len(names) or 'none'} of {lines} lines" in said(recorded, view.start.iteration)
    below = [s.iteration for s in sentences if "is below val loss" in s.text]
    means = {
        k: fmean(recorded.steps[i].loss or 0.0 for i in range(k - 4, k + 1)) for k in (5, 10, 15)
    }
    assert below[0] == next(k for k in means if means[k] < (recorded.evals[k].val_loss or 0.0))


def test_train_loss_that_was_measured_is_what_is_compared(recorded: History) -> None:
    evals = {
        k: msgspec.structs.replace(e, train_loss=(e.val_loss or 0) + (0.1 if k < 20 else -0.1))
        for k, e in recorded.evals.items()
    }
    below = [s for s in narrate(replace(recorded, evals=evals)) if "below val loss" in s.text]
    assert [s.iteration for s in below] == [20]
    assert f"{(recorded.evals[20].val_loss or 0) - 0.1:.2f}" in below[0].text


def history_of(*losses: float | None) -> History:
    history = History().extend([logs.header()])
    for k, loss in enumerate(losses):
        history.add(ev.Eval(iteration=k, val_loss=loss, tokens=1, seconds=1.0, best=False))
    return history


def test_a_rise_a_blind_guess_and_no_number() -> None:
    history = history_of(5.0, 4.0, 4.5, 9.5, None)
    assert "0.5 above its best, 4.00 at iteration 1" in said(history, 2)
    assert "blindly among its 8,192" in said(history, 3)  # log(8192) is 9.01
    assert "diverged" in said(history, 4)
    assert "→ 4.00: 148 choices → 55" in outcome(history)
    assert "nothing learned" in outcome(history_of(4.0, 4.5))
    assert outcome(history_of(4.0)) == outcome(History()) == "" and narrate(History()) == []
    assert choices(math.inf) == choices(None) == "–" and choices(1e300) == choices(700.0)


def sample(text: str, prompt: str = "ROMEO:", iteration: int = 0) -> SampleView:
    settings = ev.Settings(max_new_tokens=9, temperature=1.0, top_k=None, top_p=None, seed=1)
    start = ev.Sample(
        iteration=iteration, sample=iteration, prompt=prompt, prompt_tokens=(), settings=settings
    )
    token = logs.token(iteration, iteration, 0, text, 0.5, 1.0)
    end = ev.SampleEnd(
        iteration=iteration, sample=iteration, text=text, tokens=1, seconds=1.0, complete=True
    )
    return SampleView(start, [token], end)


def test_samples_of_a_play_and_of_prose() -> None:
    assert speeches(sample(" Soft!\n\nJULIET:\nO")) == ["JULIET"]  # ROMEO is the prompt's
    assert speeches(sample("NURSE:\nMadam!", prompt="")) == ["NURSE"]
    history = history_of(5.0, 4.0)
    history.samples = [
        sample(" It was late."),
        sample(" Ay.\n\nJULIET:\nO.\n\nBOB:\nHa", iteration=1),
    ]
    assert "none of 1 lines" in said(history, 0)
    assert "2 of 5 lines name a speaker, 1 of 2 invented; at iteration 0, none did" in said(
        history, 1
    )
    assert history.run is not None
    prose = msgspec.structs.replace(history.run.dataset, speakers=(), notes=("Read as latin-1.",))
    history.run = msgspec.structs.replace(history.run, dataset=prose)
    assert "3 words, 3 of them different" in said(history, 0)
    assert "Read as latin-1." in said(history, 0)
    assert "characters, 13 at iteration 0" in said(history, 1)


def test_copies_and_judgements() -> None:
    history = history_of(5.0, 4.0, 3.9)
    copied = sample(" to be or not to be, he said")
    copied.copies = ev.Copies(iteration=0, sample=0, passages=((1, 19, 6, 77),))
    none = sample(" nothing of that", iteration=1)
    none.copies = ev.Copies(iteration=1, sample=1, passages=())
    history.samples = [copied, none]
    assert longest_copy(history) == 0  # the model that copied had not seen the text
    assert "“to be or not to be” (6 words)" in said(history, 0)
    assert "No 4 words" in said(history, 1)
    rules = {0: "learning", 1: "learning", 2: "memorizing"}
    for k, rule in rules.items():
        history.add(ev.Advice(iteration=k, rule=rule, sentence=f"it is {rule}"))  # type: ignore[arg-type]
    assert "It is learning." in said(history, 0)
    assert "It is learning." not in said(history, 1)
    assert "It is memorizing." in said(history, 2)
    assert history.advice is not None and history.advice.rule == "memorizing"
