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
    """Return records a second in words; a rate that is slow a minute, or an hour: no rate but none is a 0."""
    if rate is None:
        return "not known yet"
    if rate <= 0:
        return "0 a second"
    for seconds, unit in ((1, "a second"), (60, "a minute"), (3_600, "an hour")):
        amount = rate * seconds
        if round(amount, 1) >= 1:
            return f"{amount:,.0f} {unit}" if amount >= 9.95 else f"{amount:.1f} {unit}".replace(".0 ", " ")
    return "less than 1 an hour"


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
