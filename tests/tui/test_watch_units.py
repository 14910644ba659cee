"""The parts of the run screen that have no widgets: facts, feeds, browsing, settings, commands."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Literal

import pytest

from shakegpt import format
from shakegpt.errors import ShakegptError
from shakegpt.runlog import schema as ev
from shakegpt.runlog.control import Inbox
from shakegpt.runlog.history import History
from shakegpt.runlog.log import LOG_NAME
from shakegpt_tui import settings
from shakegpt_tui.home import form
from shakegpt_tui.processes import trainer
from shakegpt_tui.run import browse, driving, facts, feed
from shakegpt_tui.run.explain import explanations
from tests.tui import logs


def history(upto: int = 12) -> History:
    return History().extend(logs.story(upto))


def test_as_many_whole_sentences_as_fit() -> None:
    assert form.fitting("Seven letters. And more.", 40, 1) == "Seven letters. And more."
    assert form.fitting("Seven letters. And some more.", 20, 1) == "Seven letters."
    assert form.fitting("A command\nand what it does", 12, 2) == "A command\nand what it…"
    assert form.fitting("Seven letters", 6, 1) == "Seven…"


def test_facts_of_a_run_under_way() -> None:
    told = history(12)
    now = facts.facts(told, told.last_time + 1)
    assert (now.state, now.word, now.iteration, now.max_iters) == ("training", "training", 12, 20)
    assert now.val_loss == pytest.approx(4.3 + 1.5 * 0.85**10)
    assert now.best_iteration == 10 and now.saved_iteration == 10
    assert facts.trend(now) == "▼ 1.20"
    assert now.fraction == pytest.approx(0.6)


def test_time_left_counts_steps_and_the_evaluations_between() -> None:
    told = history(12)
    now = facts.facts(told, told.last_time)
    evaluation = 0.5 + 0.05 * len(logs.TEXT) + 0.3  # eval, its sample, its two saves
    assert now.eta == pytest.approx(8 * 1.0 + 2 * evaluation)


def test_micro_steps_move_the_progress_within_an_iteration() -> None:
    told = history(12)
    *micro, _ = logs.iteration(13, told.last_time)
    told.extend(micro[:3])
    now = facts.facts(told, told.last_time)
    assert (now.micro_step, now.micro_steps) == (3, 4)
    assert now.fraction == pytest.approx(12.75 / 20)
    assert "micro-step 3/4" in facts.headline(now)


def test_a_pause_and_a_stop_say_what_they_wait_for() -> None:
    told = history(12)

    def word(
        verb: str, status: Literal["accepted", "done", "refused"], beat: ev.Phase = "training"
    ) -> str:
        told.add(ev.Command(id=verb, time=told.last_time, verb=verb, status=status, iteration=12))
        told.add(logs.beat(beat, 12, told.last_time))
        return facts.facts(told, told.last_time).word

    assert word("pause", "done") == "pausing"  # the micro-batch is still at work
    assert word("pause", "done", "paused") == "paused"
    assert word("resume", "done") == "training"
    assert word("stop", "accepted") == "stopping"
    assert word("stop", "refused") == "training"


@pytest.mark.parametrize(
    ("age", "exited", "launching", "state"),
    [
        (1, False, False, "training"),
        (60, False, False, "crashed"),  # the header's host is not this one
        (1, True, False, "crashed"),
        (60, False, True, "starting"),
    ],
)
def test_states(age: float, exited: bool, launching: bool, state: str) -> None:
    told = history(7)
    now = facts.facts(told, told.last_time + age, exited=exited, launching=launching)
    assert now.state == state
    assert now.eta is None or state == "training"


def test_facts_of_nothing_at_all() -> None:
    now = facts.facts(History(), 0.0)
    assert facts.headline(now) == "" and facts.details(now) == [] and now.fraction == 0.0


def test_a_loss_that_is_no_number_is_said_so() -> None:
    told = History().extend([logs.header(), ev.Eval(iteration=0, val_loss=None, tokens=1,
                                                    seconds=1, best=False)])  # fmt: skip
    now = facts.facts(told, told.last_time)
    assert format.loss(now.val_loss, 3) == "–" and facts.trend(now) == ""


def test_browsing_steps_through_samples_and_follows_at_the_end() -> None:
    browser = browse.Browser(history(12))
    assert browser.position == 2
    browser.step(-1)
    assert browser.position == 1 and browser.chosen == 1
    browser.history.extend(logs.sample(3, 12, logs.T0))
    assert browser.position == 1
    browser.step(5)
    assert browser.chosen is None and browser.position == 3
    browser.first()
    assert browser.position == 0


def test_a_sample_is_never_set_beside_itself() -> None:
    browser = browse.Browser(history(12))
    samples = browser.history.samples
    assert browser.partner() is samples[0]
    browser.first()
    assert browser.partner() is samples[-1]
    browser.history.samples = samples[:1]
    assert browser.partner() is None


def test_the_cursor_stays_within_the_tokens_and_holds_the_sample() -> None:
    browser = browse.Browser(history(6))
    browser.move_token(1)
    assert (browser.token, browser.chosen) == (0, 1)
    browser.move_token(-5)
    assert browser.token == 0
    browser.move_token(1000)
    assert browser.token == len(logs.TEXT) - 1


def test_search_goes_round_through_all_samples() -> None:
    browser = browse.Browser(history(12))
    browser.needle = "YONDER"
    places = [browser.seek(1, None)]
    for _ in range(3):
        places.append(browser.seek(1, places[-1]))
    assert [hit.sample for hit in places if hit] == [2, 0, 1, 2]
    assert browser.seek(-1, places[-1]) == places[-2]
    browser.needle = "not there"
    assert browser.seek(1, None) is None


def test_a_live_feed_delivers_what_is_there_and_what_comes(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(2))
    stop = threading.Event()
    batches = feed.LiveFeed(run).batches(stop)
    first = next(batches)
    assert isinstance(first.events[0], ev.Run)
    assert next(batches).caught_up
    with (run / LOG_NAME).open("a") as log:
        log.write("no record\n")
    logs.write(run, logs.iteration(3, logs.T0))
    later = next(batches)
    assert len(later.events) == 5 and len(later.problems) == 1
    (run / LOG_NAME).unlink()
    logs.write(run, [logs.header()])
    assert next(batches).restarted
    stop.set()
    assert list(batches) == []


def test_a_still_ends_with_its_iteration(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(12))
    batch = next(feed.Still(run, until=5).batches(threading.Event()))
    assert History().extend(batch.events).iteration == 5


def test_commands_show_as_asked_then_as_the_log_says(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(2))
    inbox, told = Inbox(run), history(2)
    drive = driving.Driver(run)
    request = drive.ask("sample", prompt="O [b]Romeo", temperature=0.5)
    heard = inbox.poll()
    assert [(r.verb, r.prompt, r.temperature) for r in heard] == [("sample", "O [b]Romeo", 0.5)]
    assert [line.status for line in drive.lines(told, request.time, 9)] == ["sent"]
    assert [line.status for line in drive.lines(told, request.time + 60, 9)] == ["unanswered"]
    for status in ("accepted", "done"):
        told.add(ev.Command(id=request.id, verb="sample", status=status, iteration=2))
        assert [line.status for line in drive.lines(told, request.time, 9)] == [status]
    limit = drive.ask("max_iters", max_iters=14)
    told.add(ev.Command(id=limit.id, verb="max_iters", status="done", iteration=2))
    reopened = driving.Driver(run)
    assert reopened.lines(told, limit.time, 9) == drive.lines(told, limit.time, 9)


def test_a_stop_is_under_way_until_the_log_ends(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(2))
    drive, told = driving.Driver(run), history(2)
    assert not drive.stopping(told)
    drive.ask("stop")
    assert drive.stopping(told)
    told.add(logs.end(2, logs.T0, "stopped"))
    assert not drive.stopping(told)


def test_a_run_that_cannot_be_driven_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ShakegptError, match="nowhere"):
        driving.Driver(tmp_path / "nowhere").ask("pause")


def test_settings_survive_and_damage_does_not_hurt(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "tui.json"
    remembered = settings.Settings(theme="ansi-dark")
    for number in range(2 * settings.MOST_PROMPTS):
        remembered.remember(Path(f"run-{number}"), settings.Prompting(prompt="\x1b[", top_k=5))
    settings.save(remembered, file)
    assert settings.load(file) == remembered
    assert len(remembered.prompts) == settings.MOST_PROMPTS
    assert [f.name for f in file.parent.iterdir()] == ["tui.json"]
    for damage in (b"", b"{", b'{"smoothing": 7}', b"\xff", b'{"theme": 3}', b"[" * 100_000):
        file.write_bytes(damage)
        assert settings.load(file) == settings.Settings()


def test_settings_that_cannot_be_written_are_let_go(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.save(settings.Settings(), tmp_path / "file" / "tui.json")
    taken = tmp_path / "taken" / "tui.json"
    taken.mkdir(parents=True)
    settings.save(settings.Settings(), taken)
    assert [file.name for file in taken.parent.iterdir()] == ["tui.json"]
    os.mkfifo(tmp_path / "pipe")  # nobody will ever write into it
    assert settings.load(tmp_path / "pipe") == settings.Settings()


def test_a_run_that_is_there_is_not_trained_over(tmp_path: Path) -> None:
    run = logs.write(tmp_path / "run", logs.story(1))
    with pytest.raises(ShakegptError, match=str(run)):
        trainer.start(["--out-dir", str(run)])


def test_a_stranger_is_killed_only_while_it_holds_the_log(tmp_path: Path) -> None:
    import os

    run = logs.write(tmp_path / "run", [logs.own_header(os.getpid(), logs.T0)])
    told = History().extend([logs.own_header(os.getpid(), logs.T0)])
    assert trainer.kill_stranger(told, run) is False  # and this test goes on


def test_each_number_is_explained_in_two_sentences_beside_its_value() -> None:
    history = History().extend(logs.story(12))
    now = facts.facts(history, logs.T0 + 30)
    entries = {e.term: e for e in explanations(now, history, history.samples[-1])}
    for entry in entries.values():
        assert len(re.findall(r"\.( |$)", entry.text)) >= 2, entry
    values = {name: entry.value for name, entry in entries.items()}
    assert values["train loss"] == f"{history.steps[12].loss:.3f}"
    assert values["val loss"] == f"{history.evals[10].val_loss:.3f}"
    assert "as among 99 " in entries["val loss"].text  # e to the 4.595
    assert "9.01 blind" in entries["train loss"].text  # log of 8192 tokens
    assert values["iteration"] == "12 of 20" and values["lr"] == "1e-3"
    assert (values["temperature"], values["top-k"]) == ("0.8", "200")
    assert len(explanations(facts.facts(History(), 0.0), History(), None)) == len(entries)
