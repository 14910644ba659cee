"""The curves of a run and of runs laid behind it: smoothed, labelled, and read at an x."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from shakegpt.sanitize import one_line
from shakegpt_tui.plot.frame import Curve
from shakegpt_tui.plot.labels import plain_label
from shakegpt_tui.plot.series import Extent, Reading, Series, nearest, read, smoothed, x_extent
from shakegpt_tui.run.curves import SMOOTH_FROM, end_label, train_curves
from shakegpt_tui.widgets.frame_view import RUN_COLOURS

SMOOTHINGS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Weights of the moving average, from none on."""
LABEL_WIDTH = 14
"""Characters of another run's name at the end of its curve."""


class ComparedCurves:
    """Series of one run and, by their names, of others; the train loss of long ones is smoothed."""

    def __init__(self) -> None:
        self.series: Sequence[Series] = ()
        self.others: Mapping[str, Sequence[Series]] = {}
        self.weight = 0.6
        """Weight of the moving average for runs that are long enough."""
        self._chosen = False
        self._smooth: dict[tuple[int, float], tuple[Series, Series]] = {}
        """(id of a series, weight) -> the series and its smoothed curve, as last drawn."""

    @property
    def smoothing(self) -> float:
        """Weight of the moving average of this run's train loss, 0 where it is drawn raw."""
        train = next((series for series in self.series if series.kind == "train"), None)
        return self._weight_of(train) if train is not None else self.weight

    def smooth_more(self, by: int) -> None:
        """Smooth all runs, however short, by this many steps of `SMOOTHINGS` more."""
        place = SMOOTHINGS.index(self.smoothing) + by
        self.weight = SMOOTHINGS[min(max(place, 0), len(SMOOTHINGS) - 1)]
        self._chosen = True

    def _weight_of(self, series: Series) -> float:
        """0 for a short run, unless `smooth_more` has set the smoothing."""
        return self.weight if self._chosen or len(series.xs) >= SMOOTH_FROM else 0.0

    def _smooth_of(self, series: Series) -> Series:
        """Smoothed once for each data and weight: zooming and panning go through it often."""
        key = id(series), self._weight_of(series)
        if key not in self._smooth:  # the series is kept beside it, so its id stays its own
            self._smooth[key] = series, smoothed(series, key[1])
        return self._smooth[key][1]

    def all(self) -> Iterator[Series]:
        """The series of the run, then those of the others."""
        yield from self.series
        for series in self.others.values():
            yield from series

    @property
    def extent(self) -> Extent:
        """First and last x of all series."""
        return x_extent(list(self.all()))

    def drawn(self, end: float, width: int) -> list[Curve]:
        """From the back to the front: other runs, raw train loss, smoothed, val.

        Labels of curves that end beyond the x `end` have no value; `width` is that of the picture.
        """
        alive = {(id(series), self._weight_of(series)) for series in self.all()}
        self._smooth = {key: kept for key, kept in self._smooth.items() if key in alive}
        curves = list[Curve]()
        for k, (name, series) in enumerate(self.others.items()):
            curves += self._other(name, series, f"run{k % RUN_COLOURS + 1}")
        for one in self.series:
            curves += self._own(one, width)
        return [
            replace(curve, label=curve.label.rpartition(" ")[0])
            if len(curve.series.xs) and curve.series.xs[-1] > end
            else curve
            for curve in curves
        ]

    def _own(self, series: Series, width: int) -> list[Curve]:
        if series.kind == "val":
            return [Curve(series, "val", end_label(series.name, series), points=True)]
        weight = self._weight_of(series)
        return train_curves(series, self._smooth_of(series) if weight else None, weight, width)

    def _other(self, name: str, own: Sequence[Series], role: str) -> Iterator[Curve]:
        for series in own:
            if series.kind == "val":
                label = end_label(plain_label(one_line(name, LABEL_WIDTH)), series)
                yield Curve(series, role, label, points=True)
            else:
                yield Curve(self._smooth_of(series), role, behind=True)

    def readings(self, x: float) -> list[Reading]:
        """The run's own curves at `x`: train, smooth, val."""
        curves = list[Series]()
        for series in self.series:
            curves.append(series)
            if series.kind == "train" and self._weight_of(series):
                curves.append(self._smooth_of(series))
        return [r for s in curves if (r := read(s, x)) is not None]

    def other_readings(self, x: float) -> dict[str, Reading]:
        """The val loss of the other runs at `x`, by their names."""
        readings = {}
        for name, curves in self.others.items():
            val = next((series for series in curves if series.kind == "val"), None)
            if val is not None and (reading := read(val, x)) is not None:
                readings[name] = reading
        return readings

    def snapped(self, x: float) -> float:
        """The point of any curve that is nearest to `x`."""
        points = [(abs(r.x - x), r.x) for s in self.all() if (r := read(s, x)) is not None]
        return min(points)[1] if points else x

    def neighbour(self, x: float, by: int) -> float:
        """The next point left or right of `x` in any curve; `x` at the ends."""
        ahead = []
        for series in self.all():
            index = nearest(series.xs, x) or 0
            around = series.xs[max(index - 1, 0) : index + 2]
            ahead += [other for other in around if (other - x) * by > 0]
        return min(ahead, key=lambda other: other * by, default=x)
