"""Pictures as SVG, drawn from values: a line over time. Pure. Colours come from the style sheet, by class."""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 320, 64


class Line(NamedTuple):
    """A line as SVG draws it, and the largest value, which is its top."""

    points: str
    area: str
    top: float


def line(values: Sequence[tuple[float, float]], seconds: float, now: float) -> Line:
    """Return values by time as a line: `seconds` before `now` are the width, 0 is the bottom.

    Times are Unix times in seconds. What is older is left out; a single value is drawn as a level.
    """
    shown = [(at, value) for at, value in values if now - seconds <= at <= now]
    top = max((value for _at, value in shown), default=0.0)
    points = [
        f"{WIDTH * (1 - (now - at) / seconds):.1f},{HEIGHT - 2 - (HEIGHT - 4) * (value / top if top else 0):.1f}"
        for at, value in shown
    ]
    if len(points) == 1:
        points.insert(0, "0.0," + points[0].partition(",")[2])
    if not points:
        return Line("", "", 0.0)
    first, last = points[0].partition(",")[0], points[-1].partition(",")[0]
    return Line(" ".join(points), f"{first},{HEIGHT} {' '.join(points)} {last},{HEIGHT}", top)


def rate_text(rate: float | None) -> str:
    """Return records a second in words."""
    if rate is None:
        return "not known yet"
    if 0 < rate < 10:
        return f"{rate:.1f} a second"
    return f"{rate:,.0f} a second"


def age_text(seconds: float | None) -> str:
    """Return an age in words, in its two largest units."""
    if seconds is None:
        return "not known"
    whole = max(0, round(seconds))
    for size, unit, smaller_size, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
