"""Plots as SVG in the page's colours, with what they show in words for those who do not see them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup, escape

from streams.control.receipts import TimeSlot

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 160, 64, 12, 22
"""In units of the drawing, which is as wide as the page allows."""


class Series(NamedTuple):
    """One line or row of bars: its style (a class of the stylesheet), and a value for each stretch of time."""

    style: str
    values: Sequence[float | None]


def bars_over_time(name: str, slots: Sequence[TimeSlot], until: datetime) -> Markup:
    """Return a plot of receipts a second."""
    seconds = max((until - slots[0].at).total_seconds() / len(slots), 0.001)
    rates = [slot.receipts / seconds for slot in slots]
    return _plot(name, slots[0].at, until, [Series("bar", rates)], _bars, lambda rate: f"{rate:,.3g}/s")


def latency_over_time(name: str, slots: Sequence[TimeSlot], until: datetime) -> Markup:
    """Return a plot of the median latency, and of what 95 of 100 are below."""
    lines = [
        Series("high", [slot.high_ms for slot in slots]),
        Series("median", [slot.median_ms for slot in slots]),
    ]
    return _plot(name, slots[0].at, until, lines, _line, shown_millis)


def shown_millis(millis: float) -> str:
    """Return a time for people."""
    return f"{millis:,.0f} ms" if millis < 1000 else f"{millis / 1000:,.1f} s"


def _plot(
    name: str,
    since: datetime,
    until: datetime,
    series: Sequence[Series],
    draw: Callable[[Series, float], Iterable[str]],
    shown: Callable[[float], str],
) -> Markup:
    known = [value for line in series for value in line.values if value is not None]
    highest = max(known, default=0.0)
    floor = HEIGHT - BOTTOM
    parts = [part for line in series for part in draw(line, highest or 1.0)]
    words = escape(f"{name}: {shown(highest)} at most, from {since:%H:%M:%S} to {until:%H:%M:%S} UTC")
    labels = [
        (LEFT - 6, TOP + 8, "end", shown(highest)),
        (LEFT - 6, floor, "end", "0"),
        (LEFT, HEIGHT - 4, "start", f"{since:%H:%M:%S}"),
        (WIDTH, HEIGHT - 4, "end", f"{until:%H:%M:%S}"),
    ]
    texts = "".join(f'<text x="{x}" y="{y}" text-anchor="{at}">{escape(text)}</text>' for x, y, at, text in labels)
    return Markup(  # noqa: S704  (numbers, and texts that are escaped)
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">'
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH}"/>{"".join(parts)}{texts}</svg>'
    )


def _bars(series: Series, highest: float) -> Iterable[str]:
    width = (WIDTH - LEFT) / len(series.values)
    for number, value in enumerate(series.values):
        if value:
            height = (HEIGHT - TOP - BOTTOM) * value / highest
            x, y = LEFT + number * width, HEIGHT - BOTTOM - height
            size = f'width="{width * 0.8:.1f}" height="{height:.1f}"'
            yield f'<rect class="{series.style}" x="{x:.1f}" y="{y:.1f}" {size}/>'


def _line(series: Series, highest: float) -> Iterable[str]:
    """Yield lines between neighbours, and a point where there is none beside it."""
    width = (WIDTH - LEFT) / len(series.values)
    before: tuple[float, float] | None = None
    for number, value in enumerate(series.values):
        if value is None:
            before = None
            continue
        x, y = LEFT + (number + 0.5) * width, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest
        if before is not None:
            yield f'<path class="{series.style}" d="M{before[0]:.1f} {before[1]:.1f}L{x:.1f} {y:.1f}"/>'
        yield f'<circle class="{series.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
        before = x, y
