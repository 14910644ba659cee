"""Plot arithmetic: smoothing, thinning, ticks, views, rasters, frames."""

from __future__ import annotations

import math
import random
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shakegpt_tui.plot import ticks
from shakegpt_tui.plot.bars import BARS, bars
from shakegpt_tui.plot.draw import draw
from shakegpt_tui.plot.frame import Curve, Frame, Look, Mark
from shakegpt_tui.plot.labels import plain_label
from shakegpt_tui.plot.raster import ASCII, BLOCK, BRAILLE, SYMBOLS, Symbols, cells, trace
from shakegpt_tui.plot.series import (
    Series,
    finite,
    nearest,
    read,
    smoothed,
    thin,
    x_extent,
    y_extent,
)
from shakegpt_tui.plot.view import NARROWEST, View

ANY_LOSS = st.one_of(st.none(), st.floats())
LOSSES = st.lists(ANY_LOSS, max_size=60)


def series(ys: list[float | None], kind: str = "train") -> Series:
    return Series(kind, kind, range(len(ys)), ys)


def text(frame: Frame) -> list[str]:
    return ["".join(row) for row in frame.chars]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Series("train", "train", [1, 2], [1.0])


def test_debiased_smoothing_starts_at_the_first_value_and_weighs_as_adam() -> None:
    ys = smoothed(series([4.0, 2.0]), 0.9).ys
    assert ys[0] == pytest.approx(4.0)
    assert ys[1] == pytest.approx((0.1 * 0.9 * 4 + 0.1 * 2) / (1 - 0.9**2))


@given(LOSSES, st.floats(0, 0.99))
def test_smoothing_keeps_gaps_and_stays_in_range(losses: list[float | None], weight: float) -> None:
    told = smoothed(series(losses), weight)
    real = [y for y in map(finite, losses) if y is not None]
    assert [y is None for y in told.ys] == [finite(y) is None for y in losses]
    for y in told.ys:
        if y is not None:
            room = 1e-9 * max(map(abs, real)) + sys.float_info.min  # below it, halves round to 0
            assert min(real) - room <= y <= max(real) + room


def test_smoothing_of_zero_is_the_curve_itself() -> None:
    assert list(smoothed(series([3.0, math.nan, 1.0]), 0.0).ys) == [3.0, None, 1.0]
    with pytest.raises(ValueError, match=r"1\.0"):
        smoothed(series([1.0]), 1.0)


def test_thinning_loses_no_spike_and_bounds_the_points() -> None:
    rng = random.Random(7)
    ys = [rng.gauss(3, 0.1) for _ in range(10_000)]
    ys[4321], ys[8765] = 99.0, -99.0
    points = thin(series([*ys]), 0, 9_999, 200)
    assert len(points) <= 400
    assert {99.0, -99.0} <= {y for _, y in points}
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_thinning_keeps_neighbours_outside_the_window_and_gaps() -> None:
    ys: list[float | None] = [1.0, 2.0, None, 4.0, 5.0, 6.0]
    assert thin(series(ys), 2, 3, 50) == [(1, 2.0), (2, None), (3, 4.0), (4, 5.0)]
    dense: list[float | None] = [*[1.0] * 500, *[math.inf] * 500]
    assert any(y is None for _, y in thin(series(dense), 0, 999, 10))


def test_extents() -> None:
    assert x_extent([]) == (0.0, 1.0)
    assert x_extent([series([1.0])]) == (0, 1)
    assert x_extent([series([1.0] * 9), series([1.0] * 4)]) == (0, 8)
    assert y_extent([], False) == (0.0, 1.0)
    lo, hi = y_extent([(False, [(0, 3.0)])], False)
    assert lo < 3.0 < hi
    lo, _ = y_extent([(False, [(0, -1.0), (1, 2.0), (2, 4.0)])], True)
    assert 0 < lo < 2.0


def test_one_spike_among_many_does_not_flatten_the_train_curve_but_val_is_shown_whole() -> None:
    noisy = [(float(i), 3.0) for i in range(299)] + [(299.0, 1000.0)]
    assert y_extent([(False, [*noisy])], False)[1] < 10
    assert y_extent([(True, [*noisy])], False)[1] > 1000


@given(st.lists(st.integers(0, 100), min_size=1, max_size=9, unique=True), st.floats(-5, 120))
def test_nearest(xs: list[int], x: float) -> None:
    xs.sort()
    index = nearest(xs, x)
    assert index is not None
    assert abs(xs[index] - x) == min(abs(other - x) for other in xs)


def test_reading_a_curve() -> None:
    told = Series("val", "val", [0, 5, 10], [4.0, None, 3.0], [100.0, 105.0, 110.0])
    found = read(told, 8)
    assert found is not None
    assert (found.x, found.y, found.time) == (10, 3.0, 110.0)
    gap = read(told, 5)
    assert gap is not None and gap.y is None
    assert read(series([]), 1) is None


# ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 20))
def test_ticks_are_in_range_evenly_spaced_and_few(lo: float, span: float, count: int) -> None:
    hi = lo + span
    found = ticks.ticks(lo, hi, count)
    step = ticks.nice_step(hi - lo, count)
    assert len(found) <= count + 1
    slack = max(step * 1e-6, 4 * math.ulp(max(abs(lo), abs(hi))))
    assert all(lo - slack <= tick <= hi + slack for tick in found)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(math.isclose(mantissa, nice, rel_tol=1e-6) for nice in (1, 2, 5, 10))


def test_ticks_as_a_person_would_write_them() -> None:
    assert ticks.labels(ticks.ticks(2.7, 4.4, 6)) == ["3.0", "3.5", "4.0"]
    assert ticks.ticks(0, 1, 10, whole=True) == [0, 1]
    assert ticks.labels([0, 500, 1000]) == ["0", "500", "1000"]
    assert ticks.labels([0, 10_000, 20_000]) == ["0", "10k", "20k"]
    assert ticks.labels([0.25, 0.5]) == ["0.25", "0.50"]
    with pytest.raises(ValueError, match="span"):
        ticks.nice_step(0, 3)


@given(st.floats(1e-9, 1e6), st.floats(1.001, 1e9), st.integers(1, 12))
def test_log_ticks_are_in_range_and_few(lo: float, ratio: float, count: int) -> None:
    found = ticks.log_ticks(lo, lo * ratio, count)
    assert len(found) <= count + 1
    assert all(lo * (1 - 1e-6) <= tick <= lo * ratio * (1 + 1e-6) for tick in found)


def test_log_ticks_over_decades_and_within_one() -> None:
    assert ticks.log_ticks(0.9, 120, 9) == [1, 2, 5, 10, 20, 50, 100]
    assert ticks.log_ticks(2, 5, 4) == [2, 3, 4, 5]


# the view


def test_a_view_follows_the_newest_point_while_zoomed() -> None:
    view = View().zoom(0.1, at=1000, extent=(0, 1000))
    assert view.window((0, 1000)) == (900, 1000)
    assert view.window((0, 1500)) == (1400, 1500)
    assert view.follows


def test_panning_back_stops_following_and_reaching_the_edge_follows_again() -> None:
    view = View().zoom(0.1, 0, (0, 1000)).pan(-300, (0, 1000))
    assert view.window((0, 1000)) == (600, 700)
    assert view.window((0, 5000)) == (600, 700)
    assert not view.follows
    assert view.pan(10_000, (0, 1000)).follows
    assert view.pan(-10_000, (0, 1000)).window((0, 1000)) == (0, 100)


def test_zooming_keeps_the_place_under_the_pointer() -> None:
    view = View(200, 700).zoom(0.5, at=550, extent=(0, 1000))
    lo, hi = view.window((0, 1000))
    assert hi - lo == 100
    assert (550 - lo) / (hi - lo) == pytest.approx((550 - 500) / 200)


@given(st.lists(st.tuples(st.booleans(), st.floats(-2000, 3000), st.floats(0.1, 10)), max_size=12))
def test_no_sequence_of_zooms_and_pans_leaves_the_data(
    steps: list[tuple[bool, float, float]],
) -> None:
    view, extent = View(), (0.0, 1000.0)
    for zooms, at, factor in steps:
        lo, hi = view.window(extent)
        inside = min(max(at, lo), hi)
        view = view.zoom(factor, inside, extent) if zooms else view.pan(at, extent)
        lo, hi = view.window(extent)
        assert -1e-6 <= lo < hi <= 1000 + 1e-6
        assert hi - lo >= NARROWEST * (1 - 1e-9)


# the raster


def lit(layer: list[int], rows: int) -> list[str]:
    return ["".join("#" if c >> r & 1 else "." for c in layer) for r in range(rows)]


def test_a_line_is_connected_and_clipped() -> None:
    assert lit(trace([(0, 0), (3, 3)], 4, 4), 4) == ["#...", ".#..", "..#.", "...#"]
    assert lit(trace([(-4, 1), (9, 1)], 3, 3), 3) == ["...", "###", "..."]
    assert lit(trace([(0, -50), (2, 50)], 3, 2), 2)[0].count("#") >= 1
    assert lit(trace([(0, 0), (1, None), (2, 0), (4, 0)], 5, 1), 1) == ["#.###"]


@given(
    st.lists(st.tuples(st.integers(-5, 25), st.one_of(st.none(), st.integers(-30, 60)))),
    st.integers(1, 20),
    st.integers(1, 24),
)
def test_a_trace_stays_in_the_picture_and_joins_up(
    dots: list[tuple[int, int | None]], columns: int, rows: int
) -> None:
    dots.sort(key=lambda dot: dot[0])
    layer = trace([(float(c), r) for c, r in dots], columns, rows)
    assert len(layer) == columns
    assert all(0 <= column < 1 << rows for column in layer)
    real = [(c, r) for c, r in dots if r is not None]
    for c, r in real:
        if 0 <= c < columns and 0 <= r < rows:
            assert layer[c] >> r & 1


def test_a_steep_line_has_no_holes() -> None:
    layer = trace([(0, 0), (3, 20)], 4, 21)
    covered = 0
    for column in layer:
        covered |= column
    assert covered == (1 << 21) - 1


@pytest.mark.parametrize("symbols", SYMBOLS.values(), ids=SYMBOLS)
def test_every_pattern_of_dots_has_a_character_of_one_cell(symbols: Symbols) -> None:
    assert len(symbols.glyphs) == 2 ** (symbols.across * symbols.down)
    assert all(len(glyph) == 1 for glyph in symbols.glyphs)
    assert symbols.glyphs[0] == " "
    assert " " not in symbols.glyphs[1:]


def test_cells_of_known_dots() -> None:
    braille = [0b0001, 0b1000]  # top of the left column, bottom of the right
    assert list(cells(braille, BRAILLE)) == [(0, 0, "⢁")]
    assert list(cells([0b01, 0b10], BLOCK)) == [(0, 0, "▚")]
    assert list(cells([0b100], ASCII)) == [(0, 0, ".")]
    assert all(char.isascii() for char in ASCII.glyphs)


# frames


def curves(ys: list[float | None], val: list[float | None]) -> list[Curve]:
    told = Series("val", "val", [5 * i for i in range(len(val))], val)
    return [Curve(series(ys), "train", "train"), Curve(told, "val", "val", points=True)]


def test_a_small_frame_in_full() -> None:
    ys: list[float | None] = [4.0, 3.0, 2.0, 2.0, None, 2.0]
    frame = draw([Curve(series(ys), "train")], 24, 7, look=Look(ASCII))
    assert text(frame)[-1].split() == ["0", "5"]
    assert frame.column_of(0) == frame.left
    assert frame.column_of(5) == 23


@settings(max_examples=60, deadline=None)
@given(LOSSES, LOSSES, st.integers(0, 70), st.integers(0, 20), st.sampled_from([*SYMBOLS]))
def test_no_losses_and_no_size_break_a_frame(
    ys: list[float | None], val: list[float | None], width: int, height: int, name: str
) -> None:
    for log in (False, True):
        frame = draw(curves(ys, val), width, height, look=Look(SYMBOLS[name], log))
        assert len(frame.chars) == len(frame.roles) == height
        assert all(len(row) == width for row in frame.chars + frame.roles)
        assert all(len(char) == 1 for row in frame.chars for char in row)


def test_a_missing_value_breaks_the_line() -> None:
    whole = draw([Curve(series([3.0] * 21), "train")], 43, 3, look=Look(axes=False))
    broken: list[float | None] = [*[3.0] * 10, math.nan, *[3.0] * 10]
    gap = draw([Curve(series(broken), "train")], 43, 3, look=Look(axes=False))
    row = next(r for r, line in enumerate(text(whole)) if line.strip())
    assert " " not in text(whole)[row]
    assert 2 <= text(gap)[row].count(" ") <= 4


def test_colours_do_not_mix_and_val_lies_on_top() -> None:
    flat: list[float | None] = [3.0] * 11
    told = Series("val", "val", range(11), flat)
    frame = draw([Curve(series(flat), "train"), Curve(told, "val")], 40, 5)
    roles = {role for row in frame.roles for role in row}
    assert "val" in roles and "train" not in roles


@pytest.mark.parametrize("symbols", SYMBOLS.values(), ids=SYMBOLS)
def test_a_line_that_crosses_another_cuts_no_gap_into_it(symbols: Symbols) -> None:
    flat = Curve(series([3.0] * 21), "train")
    rising = Curve(series([float(2 + i / 10) for i in range(21)], "val"), "val")
    frame = draw([flat, rising], 60, 12, look=Look(symbols))
    row = frame.row_of(3.0)
    assert row is not None
    columns = range(frame.left, frame.left + frame.width)
    assert {frame.roles[row][c] for c in columns} == {"train", "val"}
    shapes = [symbols.glyphs.index(frame.chars[row][c]) for c in columns]
    usual = max(set(shapes), key=shapes.count)  # the flat line alone
    assert all(shape & usual == usual for shape in shapes)


def test_x_runs_to_the_limit_and_the_room_left_is_empty() -> None:
    frame = draw(curves([4.0, 3.0, 2.0], [4.0]), 60, 12, limit=20)
    assert frame.x_range == (0, 20)
    column = frame.column_of(3)
    assert column is not None
    right = {role for row in frame.roles[:10] for role in row[column : frame.left + frame.width]}
    assert right <= {"", "grid"}
    assert "20" in text(frame)[-1]
    zoomed = draw(curves([4.0] * 30, []), 60, 12, View(10), limit=100)
    assert zoomed.x_range == (19, 29)


@pytest.mark.parametrize("compact", [False, True])
def test_marks_stand_on_the_axis_and_a_text_stands_beside_its_line(compact: bool) -> None:
    look = Look(ASCII, compact=compact, x_name="step", mark_name="sample")
    marks = [Mark(0), Mark(10), Mark(15, "note", "lowest")]
    told = Curve(series([3.0] * 21), "train", "train 3.000")
    frame = draw([told], 70, 10, look=look, marks=marks)
    axis = frame.top + frame.height
    assert [frame.chars[axis][frame.column_of(x) or 0] for x in (0, 10, 15)] == ["^"] * 3
    assert " lowest " in "\n".join(text(frame))
    assert text(frame)[-1].rstrip().endswith("step")
    assert "^ sample" in "\n".join(text(frame))
    crowded = draw([told], 70, 10, look=look, marks=[Mark(x) for x in range(21)])
    for row in (text(frame), text(crowded)):
        assert {"0", "5", "10", "15", "20"} <= set(re.findall(r"\d+", row[axis if compact else -1]))
    labels = text(frame)[axis if compact else axis + 1]
    assert all(label in labels for label in ("0", "5", "10", "15", "20"))
    assert (axis == 9) == compact


def test_dashes_tell_lines_apart_without_colour() -> None:
    assert lit(trace([(0, 0), (9, 0)], 10, 1, dash=2), 1) == ["##..##..##"]
    falling = trace([(0, 0), (0, 11)], 1, 12, dash=3)
    assert lit(falling, 12) == [*"###...###..."]
    solid, dashed = (draw([Curve(series([3.0] * 9), "val", "v", dash=n)], 60, 5) for n in (0, 3))
    count = [sum(role == "val" for row in f.roles for role in row) for f in (solid, dashed)]
    assert count[1] < 0.9 * count[0]


def test_what_is_no_number_or_beyond_the_edge_is_marked() -> None:
    diverged = draw([Curve(series([3.0, 4.0, math.nan, None]), "train")], 40, 8, look=Look(ASCII))
    columns = [c for x in (2, 3) if (c := diverged.column_of(x)) is not None]
    assert [diverged.chars[0][c] for c in columns] == ["x", "x"]
    assert [diverged.roles[0][c] for c in columns] == ["gap", "gap"]
    spike: list[float | None] = [3.0 + i % 7 / 7 for i in range(300)]
    spike[150] = 1000.0
    frame = draw([Curve(series(spike), "train")], 60, 8, look=Look(ASCII))
    column = frame.column_of(150)
    assert column is not None and frame.chars[frame.top][column] == "^"
    assert series([1.0, None]).broken and not series([None, 1.0]).broken


def test_labels_stand_at_the_ends_in_the_order_of_the_curves() -> None:
    frame = draw(curves([4.0, 3.0, 2.0], [4.0, 4.0]), 60, 12)
    rows = {name: next(r for r, line in enumerate(text(frame)) if line.rstrip().endswith(name))
            for name in ("train", "val")}  # fmt: skip
    assert rows["val"] < rows["train"]
    narrow = draw(curves([4.0, 3.0, 2.0], [4.0, 4.0]), 40, 12)
    assert text(narrow)[0].split() == ["val", "train"]


def test_a_log_axis_leaves_out_what_is_not_positive() -> None:
    frame = draw([Curve(series([100.0, 0.0, 1.0]), "train")], 40, 12, look=Look(log=True))
    assert frame.y_range[0] > 0
    assert frame.row_of(0.0) is None
    ten, one, hundred = frame.row_of(10), frame.row_of(1), frame.row_of(100)
    assert ten is not None and one is not None and hundred is not None
    assert abs((one - ten) - (ten - hundred)) <= 1


@given(st.integers(20, 120), st.integers(0, 119))
def test_a_column_and_its_x_agree(width: int, column: int) -> None:
    frame = draw(curves([4.0] * 30, [3.0] * 7), width, 10)
    column = frame.left + column % frame.width
    found = frame.column_of(frame.x_at(column))
    assert found is not None and abs(found - column) <= 1


def test_labels_are_made_of_single_cells() -> None:
    assert plain_label("é日\u0301x") == "é??x"


@given(LOSSES, st.integers(1, 20))
def test_bars_have_a_character_for_each_part(losses: list[float | None], width: int) -> None:
    told = bars(losses, width)
    assert len(told) == min(len(losses), width)
    assert set(told) <= {*BARS, " "}


def test_bars_show_the_shape() -> None:
    assert bars([4, 3.5, 3, None, 3], 8) == "█▅▁ ▁"
