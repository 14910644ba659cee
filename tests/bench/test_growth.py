"""How cost grows: slopes, and that the page and figure that ship show the points that ship."""

from __future__ import annotations

import json

import pytest

from shakegpt_figures.save import render
from shakegpt_figures.style import talk
from tests.bench import growth_figure, growth_points, memory_figure
from tests.commands import ROOT

DOCS = ROOT / "docs"


def test_slope_is_the_power() -> None:
    x = [1.0, 10.0, 1000.0]
    assert growth_points.slope(x, [3 * v**1.5 for v in x]) == pytest.approx(1.5)


def test_theory_without_a_speed_goes_through_the_middle_of_the_points() -> None:
    points: list[growth_points.Point] = [
        {"sweep": "log", "series": "reading", "label": "", "x": x, "seconds": s, "work": x}
        for x, s in ((1.0, 2.0), (100.0, 800.0))
    ]
    (line,) = growth_points.Costs("a machine", tuple(points)).lines("log", "seconds")
    assert line.theory == pytest.approx((4.0, 400.0))
    assert line.slopes == pytest.approx((1.301, 1.0), abs=1e-3)


def test_page_and_figure_show_the_measured_points() -> None:
    costs = growth_points.load(DOCS / "cost.json")
    page = (DOCS / "cost.md").read_text("utf-8")
    assert growth_points.put_in(page, costs) == page
    with talk():
        figure = growth_figure.draw(costs)
    drawn = render(figure, "svg", growth_figure.TITLE, growth_figure.describe(costs))
    assert drawn == (DOCS / "cost.svg").read_bytes()


def test_page_and_figure_show_the_rows_of_memory() -> None:
    told = json.loads((DOCS / "memory.json").read_text("utf-8"))
    page = (DOCS / "cost.md").read_text("utf-8")
    assert memory_figure.put_in(page, told) == page
    with talk():
        figure = memory_figure.draw(told)
    drawn = render(figure, "svg", memory_figure.TITLE, memory_figure.describe())
    assert drawn == (DOCS / "memory.svg").read_bytes()
    for point in (p for p in told["points"] if p["row"] == "lowest"):
        assert point["estimate"] == pytest.approx(point["peak"], rel=0.1), point
