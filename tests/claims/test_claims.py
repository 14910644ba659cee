"""The talk's claims beside runs that bear them out, contradict them, or are of another kind."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from shakegpt.claims import report
from shakegpt.claims.checks import check
from shakegpt.claims.evidence import Row
from shakegpt.cli import main
from shakegpt.config import ClaimsConfig
from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.default_run import recorded
from shakegpt.runlog.metrics import largest_rise, noise, upward_share
from shakegpt_figures.deck_check import Deck
from tests.commands import ROOT
from tests.figures import logs

FILES = [
    *(f"slides/public/{name}.svg" for name in ("training", "architecture", "generation", "inside")),
    *(f"shakegpt/{name}.py" for name in ("finetune", "generate")),
]
INVENTED = ("\n", "LORIUS", ":", "\n", "I pray", "\n\n", "JULIET", ":", "\n", "Well")


def rows(records: Sequence[ev.Event], run: Path) -> dict[str, Row]:
    logs.write(records, run)
    return {row.claim: row for row in check(report.evidence(run / "log.jsonl"))}


def large(**how: float) -> list[ev.Event]:
    """A run with the talk's settings, whose sample invents LORIUS."""
    records = logs.talk_like(name="gpt2-large", **how)  # type: ignore[arg-type]
    kept = [r for r in records if not isinstance(r, ev.Sample | ev.Token | ev.SampleEnd | ev.End)]
    return [*kept, *logs.sample(["\n\n", *INVENTED], vocab=50257), logs.end(20, wall=1500)]


def test_the_talks_own_run_bears_out_every_claim(tmp_path: Path) -> None:
    found = rows(large(), tmp_path / "run")
    verdicts = {claim: row.verdict for claim, row in found.items()}
    assert set(verdicts.values()) == {"holds", "not recorded"}, verdicts
    assert [found[claim].slide for claim, verdict in verdicts.items() if verdict != "holds"] == [
        None,
        None,
    ]
    assert found["Val loss starts at 3.66"].shows == "3.6600"
    assert found["It drops to 2.86"].shows == "2.8600 after 20 iterations"
    assert found["22% better"].shows == "21.9%"


def test_a_run_with_the_talks_settings_and_other_numbers_differs(tmp_path: Path) -> None:
    found = rows(large(start=3.9, goal=3.7), tmp_path / "run")
    for claim in ("Val loss starts at 3.66", "It drops to 2.86", "22% better"):
        assert found[claim].verdict == "differs"
    assert report.run(ClaimsConfig(run=str(tmp_path / "run"), strict=True)) == 1
    assert report.run(ClaimsConfig(run=str(tmp_path / "run"))) == 0


def test_a_run_of_another_model_is_told_apart_from_one_that_contradicts(tmp_path: Path) -> None:
    found = rows(logs.talk_like(start=3.66, goal=2.86), tmp_path / "run")
    for claim in (
        "GPT-2 Large, 774M parameters",
        "About 1 MB of Shakespeare",
        "Learning rate 3e-5, constant",
        "Batch size 1",
        "Val loss starts at 3.66",  # the same number by chance is no evidence
        "It drops to 2.86",
        "22% better",
        "In 30 minutes, on a laptop’s kind of device",
    ):
        assert found[claim].verdict == "other settings", claim
    assert found["Val loss starts at 3.66"].shows == "3.6600"
    assert found["Val loss starts at 3.66"].others == ("model", "text")
    assert found["Learning rate 3e-5, constant"].others == ("learning rate",)


def test_a_diverged_run_does_not_hold(tmp_path: Path) -> None:
    found = rows(large(start=3.66, goal=9.0), tmp_path / "run")
    assert found["20 iterations are enough to learn"].verdict == "differs"
    assert found["Val loss is smooth"].verdict == "differs"
    assert found["Val loss is smooth"].shows.startswith("100% of its movement is upward")


def test_the_talks_twenty_updates_are_looked_at_in_a_longer_run(tmp_path: Path) -> None:
    vals: dict[int, float | None] = {0: 3.66, 10: 3.0, 20: 2.86, 40: 2.5}
    losses = [[3.0, 3.3, 2.9]] * 40
    found = rows([logs.header("gpt2-large", 40), *logs.curve(losses, vals)], tmp_path / "run")
    for claim in ("Val loss starts at 3.66", "It drops to 2.86", "22% better"):
        assert found[claim].verdict == "holds", claim
    assert found["20 iterations are enough to learn"].shows.endswith("after 20 iterations")


def test_a_run_that_is_not_there_yet_does_not_contradict(tmp_path: Path) -> None:
    begun = [r for r in large() if getattr(r, "iteration", 0) <= 5 and not isinstance(r, ev.End)]
    found = rows(begun, tmp_path / "run")
    for claim in ("It drops to 2.86", "22% better"):
        assert found[claim].verdict == "not measured", claim
        assert found[claim].shows.endswith(", so far")
    late = [r for r in large() if not (isinstance(r, ev.Eval) and r.iteration == 0)]
    row = rows(late, tmp_path / "late")["22% better"]
    assert (row.verdict, row.shows) == (
        "not measured",
        "no finite evaluation of the untouched model, the first is 5",
    )


def test_a_little_learning_is_not_enough(tmp_path: Path) -> None:
    claim = "20 iterations are enough to learn"
    assert rows(large(goal=3.6), tmp_path / "little")[claim].verdict == "differs"
    row = rows(logs.talk_like(goal=4.1), tmp_path / "pocket")[claim]
    assert row.verdict == "other settings"
    assert row.shows == "val loss 2.8% lower after 20 iterations"
    assert row.others == ("learning rate", "batch size", "gradient accumulation steps")


def test_a_text_of_the_same_size_is_another_text(tmp_path: Path) -> None:
    header, *rest = large()
    assert isinstance(header, ev.Run)
    other = msgspec.structs.replace(header.dataset, sha256="1" * 64)
    found = rows([msgspec.structs.replace(header, dataset=other), *rest], tmp_path / "run")
    for claim in ("About 1 MB of Shakespeare", "Val loss starts at 3.66", "22% better"):
        assert found[claim].verdict == "other settings", claim


def test_a_large_model_from_scratch_is_another_model(tmp_path: Path) -> None:
    header, *rest = large(start=10.8)
    assert isinstance(header, ev.Run)
    config = {**header.config, "init_from": "scratch"}
    told = [msgspec.structs.replace(header, config=config), *rest]
    row = rows(told, tmp_path / "run")["Val loss starts at 3.66"]
    assert (row.verdict, row.shows, row.others) == ("other settings", "10.8000", ("model",))


def test_a_curve_with_losses_that_were_not_finite_is_not_smooth(tmp_path: Path) -> None:
    vals: dict[int, float | None] = {0: 3.66, 5: None, 10: 3.0, 20: 2.86}
    found = rows([logs.header("gpt2-large"), *logs.curve([[3.0]] * 20, vals)], tmp_path / "run")
    row = found["Val loss is smooth"]
    assert row.verdict == "differs" and row.shows.endswith(", 1 more not finite")


@pytest.mark.parametrize(
    ("status", "said"),
    [(None, "; crashed at iteration 20 of 20"), ("failed", "; failed at iteration 20 of 20")],
)
def test_an_unfinished_run_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: ev.Status | None, said: str
) -> None:
    kept = [r for r in logs.talk_like() if not isinstance(r, ev.End)]
    logs.write([*kept, *([logs.end(20, status=status)] if status else [])], tmp_path / "run")
    assert report.run(ClaimsConfig(run=str(tmp_path / "run"))) == 0
    assert said in capsys.readouterr().err


def test_what_the_log_lacks_is_not_measured(tmp_path: Path) -> None:
    found = rows([logs.header("gpt2-large")], tmp_path / "run")
    unmeasured = [claim for claim, row in found.items() if row.verdict == "not measured"]
    assert unmeasured == [
        "20 iterations are enough to learn",
        "Val loss starts at 3.66",
        "It drops to 2.86",
        "22% better",
        "Train loss is noisy",
        "Val loss is smooth",
        "Generation: predict, sample, append, repeat",
        "It invents speakers that no play has",
        "In 30 minutes, on a laptop’s kind of device",
    ]
    assert report.run(ClaimsConfig(run=str(tmp_path / "run"), strict=True)) == 1


def test_rows_name_the_lines_that_they_rest_on(tmp_path: Path) -> None:
    found = rows(large(), tmp_path / "run")
    lines = (tmp_path / "run" / "log.jsonl").read_bytes().splitlines()
    where = found["22% better"].records
    assert where.startswith("eval 0 (line ") and ", eval 20 (line " in where
    for place, iteration in zip(where.split(", "), (0, 20), strict=True):
        number = int(place.split("line ")[1].rstrip(")"))
        record = msgspec.json.decode(lines[number - 1], type=ev.Event)
        assert isinstance(record, ev.Eval) and record.iteration == iteration


def test_a_sample_whose_tokens_are_not_its_text_is_caught(tmp_path: Path) -> None:
    records = large()
    records = [r for r in records if not (isinstance(r, ev.Token) and r.index == 4)]
    row = rows(records, tmp_path / "run")["Generation: predict, sample, append, repeat"]
    assert row.verdict == "differs"
    assert row.shows == "10 tokens, some out of order, that do not join to the sample"


def test_speakers_are_held_against_those_of_the_text(tmp_path: Path) -> None:
    claim = "It invents speakers that no play has"
    row = rows(large(), tmp_path / "run")[claim]
    assert row.shows == "1 of 3 speakers are not in the text: LORIUS"
    header = large()[0]
    assert isinstance(header, ev.Run)
    known = msgspec.structs.replace(header.dataset, speakers=(*logs.SPEAKERS, "Lorius"))
    told = [msgspec.structs.replace(header, dataset=known), *large()[1:]]
    assert rows(told, tmp_path / "known")[claim].verdict == "differs"
    prose = msgspec.structs.replace(header.dataset, speakers=())
    told = [msgspec.structs.replace(header, dataset=prose), *large()[1:]]
    assert rows(told, tmp_path / "prose")[claim].verdict == "not measured"


def test_noise_and_smoothness_are_what_they_are_defined_to_be() -> None:
    assert noise([1.0, 3.0, 1.0, 3.0]) == pytest.approx(2 / 2**0.5)
    assert noise([5.0, 4.99, 4.98]) == pytest.approx(0.01 / 2**0.5)
    assert noise([1.0]) is None
    assert noise([1.0, 1e308]) == math.inf
    assert upward_share([3.0, 2.0, 2.5, 2.0]) == pytest.approx(0.25)
    assert upward_share([3.0, 2.0, 1.0]) == 0
    assert upward_share([1.0, 2.0]) is None and upward_share([1.0, 1.0, 1.0]) is None
    assert largest_rise([3.0, 2.0, 2.5, 2.6]) == pytest.approx(0.5)
    assert largest_rise([3.0, 2.0]) == 0 and largest_rise([1.0]) is None


def test_measures_are_the_same_to_the_last_bit_in_every_python() -> None:
    chance = random.Random(1)
    losses = [chance.gauss(3, 0.3) for _ in range(640)]
    moves = [Fraction(after - before) for before, after in pairwise(losses)]
    squares = sum(Fraction((after - before) ** 2) for before, after in pairwise(losses))
    assert noise(losses) == math.sqrt(float(squares) / 639 / 2)
    up, way = sum(move for move in moves if move > 0), sum(map(abs, moves))
    assert upward_share(losses) == float(up) / float(way)


def test_about_300_lines_is_counted(tmp_path: Path) -> None:
    found = rows(large(), tmp_path / "run")
    for claim, name in (("model", "model"), ("training loop", "finetune")):
        source = (ROOT / f"shakegpt/{name}.py").read_text("utf-8")
        row = found[f"The {claim} is about 300 lines, or fewer"]
        assert row.shows.startswith(f"{len(source.splitlines())} lines, ")


def test_json_and_lines_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.run(ClaimsConfig(run=str(recorded()), json=True)) == 0
    table = json.loads(capsys.readouterr().out)
    assert report.run(ClaimsConfig(run=str(recorded()))) == 0
    plain = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    fields = ("verdict", "slide", "claim", "shows", "records")
    assert [[str(row[field] or "–") for field in fields] for row in table] == plain
    slides = [row["slide"] for row in table]
    of_the_talk = [slide for slide in slides if slide is not None]
    assert of_the_talk == sorted(of_the_talk) and 1 <= of_the_talk[0] <= of_the_talk[-1] <= 15
    beyond = [row for row in table if row["slide"] is None]
    assert slides[-2:] == [None, None] and [row["verdict"] for row in beyond] == ["measured"] * 2


def test_questions_about_the_inside_are_told_apart_from_the_claims(tmp_path: Path) -> None:
    """The final guess leads from block 2 or 4, so 3 on average; two of six tokens are older."""
    events = [*large(), logs.inspection(leads=(2, 4), earlier=250)]
    found = rows(events, tmp_path / "run")
    decided = found["Where does the final guess begin to lead?"]
    assert (decided.verdict, decided.slide) == ("measured", None)
    assert decided.shows.startswith("from block 3.0 of 4 on, mean of 2")
    assert "75%" in found["How far back does it look?"].shows
    before = rows(large(), tmp_path / "old")
    assert before["How far back does it look?"].verdict == "not recorded"
    log = logs.write(events, tmp_path / "summed") / "log.jsonl"
    seen = report.evidence(log)
    assert f"of {len(check(seen)) - 2} claims" in report.summary(check(seen), seen, log)[0]


def test_losses_that_are_lost_or_explode_are_no_noise(tmp_path: Path) -> None:
    claim, vals = "Train loss is noisy", {0: 3.66, 20: 3.0}
    lost: list[list[float | None]] = [[3.4, 3.6] if k < 3 else [None, None] for k in range(20)]
    row = rows([logs.header("gpt2-large"), *logs.curve(lost, dict(vals))], tmp_path / "nan")[claim]
    assert (row.verdict, row.records) == ("differs", "6 progress records")
    assert "34 losses are not finite" in row.shows
    up: list[list[float | None]] = [[3.0 * 2**k, 4.0 * 2**k] for k in range(20)]
    exploding = [logs.header("gpt2-large"), *logs.curve(up, {0: 3.66, 20: 9150.0})]
    found = rows(exploding, tmp_path / "up")
    assert found[claim].verdict == "differs"
    assert found["22% better"].shows == "val loss is 2,500 times its start"


def test_the_claims_as_markdown_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.run(ClaimsConfig(run=str(recorded()), markdown=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(check(report.evidence(recorded() / "log.jsonl")))
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in table)


def test_the_deck_on_screen_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run, numbers, sentences, figures and code, each on its slide."""
    for name in ("slides/slides.md", "slides/data/run.json", *FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)

    def wrong() -> dict[int, list[str]]:
        deck, log = Deck.here(), recorded() / "log.jsonl"
        found: dict[int, list[str]] = {}
        for slide, what, shows, _, holds in deck.rows(report.evidence(log).history, log):
            if not holds:
                found.setdefault(slide, []).append(f"{what}: {shows}")
        return found

    assert Deck.here().log() == recorded() / "log.jsonl"
    assert wrong() == {}
    assert main.main(["claims", "--deck", "--strict"]) == 0
    best = report.evidence(recorded() / "log.jsonl").history.best_eval
    assert best is not None
    for path, old, new in (
        ("slides/data/run.json", f'"text": "{best.val_loss:.2f}"', '"text": "2.87"'),
        ("slides/data/run.json", "one micro-batch is off", "no micro-batch is off"),
        ("slides/public/training.svg", "sha256:", "sha256:5"),
        ("shakegpt/finetune.py", "# region loop", "# region other"),
    ):
        text = (tmp_path / path).read_text("utf-8")
        assert old in text
        (tmp_path / path).write_text(text.replace(old, new), "utf-8")
        assert wrong(), (path, old)
        if "training" in path:
            assert list(wrong()) == [6]
        (tmp_path / path).write_text(text, "utf-8")
    shutil.rmtree(tmp_path / "slides")
    assert main.main(["claims", "--deck"]) == 2


def test_a_terminal_gets_a_table_and_no_escape_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = logs.header()
    named = msgspec.structs.replace(header.model, name="[red]\x1b[2Jx[/red]")
    logs.write([msgspec.structs.replace(header, model=named)], tmp_path / "run")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    assert report.run(ClaimsConfig(run=str(tmp_path / "run"))) == 0
    out = capsys.readouterr().out
    assert "not measured" in out and "[red]␛[2Jx[/red]" in out and "\x1b[2J" not in out
    plain = re.sub(r"\x1b\[\d*m", "", out)
    assert all(len(line) <= 80 for line in plain.splitlines())
    assert re.match(r"other settings +slide 2 ", plain)


def test_what_is_no_run_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ShakegptError, match=str(tmp_path)):
        report.run(ClaimsConfig(run=str(tmp_path)))
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(ShakegptError, match="line 1"):
        report.run(ClaimsConfig(run=str(tmp_path)))
    (tmp_path / "log.jsonl").write_text('{"event":"run","schema":7}\n')
    with pytest.raises(ShakegptError, match="schema 7"):
        report.run(ClaimsConfig(run=str(tmp_path)))


def test_claims_need_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from shakegpt.claims.report import run; "
        "from shakegpt.config import ClaimsConfig as C; "
        f"run(C(run={str(recorded())!r})); assert not {{'torch', 'matplotlib'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_run_may_stand_before_or_after_a_switch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(logs.write(large(start=3.9), tmp_path / "run"))
    assert main.main(["claims", run, "--strict"]) == 1
    said = capsys.readouterr().out
    assert main.main(["claims", "--strict", run]) == 1
    assert capsys.readouterr().out == said


def test_the_run_that_ships_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.run(ClaimsConfig(run=str(recorded()), strict=True)) == 0
    assert (recorded() / "log.jsonl").stat().st_size < 600_000
