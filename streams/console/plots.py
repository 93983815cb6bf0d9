"""Plots as SVG in the page's colours, with what they show in words for those who do not see them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup, escape

from streams.console.live.plots import rate_text
from streams.control.receipts import TimeSlot

WIDTH, HEIGHT = 600, 120
"""In units of the drawing, which is stretched to the page: it holds no text."""


class Series(NamedTuple):
    """A row of bars: what it is, its style (a class of the stylesheet), and a value for each stretch of time."""

    name: str
    style: str
    values: Sequence[float | None]


def bars_over_time(name: str, slots: Sequence[TimeSlot], until: datetime) -> Markup:
    """Return a plot of receipts a second."""
    seconds = max((until - slots[0].at).total_seconds() / len(slots), 0.001)
    rates = [slot.receipts / seconds or None for slot in slots]
    return _plot(name, slots[0].at, until, [Series(name, "bar", rates)], rate_text)


def latency_over_time(name: str, slots: Sequence[TimeSlot], until: datetime) -> Markup:
    """Return a plot of the median latency, and behind it of what 95 of 100 are below."""
    rows = [
        Series("95 of 100 are below", "high", [slot.high_ms for slot in slots]),
        Series("the median", "bar", [slot.median_ms for slot in slots]),
    ]
    return _plot(name, slots[0].at, until, rows, shown_millis)


def shown_millis(millis: float) -> str:
    """Return a time for people."""
    return f"{millis:,.0f} ms" if millis < 1000 else f"{millis / 1000:,.1f} s"


def _plot(name: str, since: datetime, until: datetime, rows: Sequence[Series], shown: Callable[[float], str]) -> Markup:
    """Return the drawing, and below it its words: the highest value, the time, and which bars are what."""
    known = [value for row in rows for value in row.values if value is not None]
    highest = max(known, default=0.0)
    top = f"{shown(highest)} at most" if known else "nothing"
    words = escape(f"{top}, from {since:%H:%M:%S} to {until:%H:%M:%S} UTC")
    keys = [f'<span class="key {row.style}">{escape(row.name)}</span>' for row in rows if len(rows) > 1]
    bars = "".join(bar for row in rows for bar in _bars(row, highest or 1.0))
    return Markup(  # noqa: S704  (numbers, and texts that are escaped)
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" preserveAspectRatio="none" '
        f'aria-label="{escape(name)}: {words}">{bars}</svg><p class="note">{" ".join([words, *keys])}</p>'
    )


def _bars(row: Series, highest: float) -> Iterable[str]:
    width = WIDTH / len(row.values)
    for number, value in enumerate(row.values):
        if value is not None:
            height = max(2.0, HEIGHT * value / highest)
            size = f'width="{width * 0.8:.1f}" height="{height:.1f}"'
            yield f'<rect class="{row.style}" x="{number * width:.1f}" y="{HEIGHT - height:.1f}" {size}/>'
