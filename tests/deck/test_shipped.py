"""The numbers that ship are those of the run that ships, and of the code as it is now."""

from __future__ import annotations

from shakegpt.runlog import history
from shakegpt.runlog.log import read
from shakegpt_figures import data
from tests.deck.build import ROOT
from tests.deck.conftest import FIGURES, SLIDES

RUN = SLIDES / "data" / "run.json"


def test_run_json_is_what_the_shipped_log_gives() -> None:
    told = data.read(RUN)
    rooms = ("shakegpt", "figures", "docs", "tests")
    logs = [log for room in rooms for log in (ROOT / room).rglob("*.jsonl")]
    parts = {log: history.History().extend(read(log)[0]) for log in logs}
    ((log, recorded),) = [
        (log, part) for log, part in parts.items() if part.run and part.run.run_id == told.run.id
    ]
    assert data.run_data(recorded, log) == told, (
        f"slides/data/run.json is stale: run `shakegpt figures {log.parent.relative_to(ROOT)}`"
    )


def test_the_figures_tell_of_the_same_run() -> None:
    alt = data.read(RUN).alt
    for name in FIGURES:
        figure = (SLIDES / "public" / f"{name}.svg").read_text("utf-8")
        first = getattr(alt, name).split(":")[0].split(".")[0]
        assert first.replace("&", "&amp;") in figure, f"{name}.svg is of another run"
