"""Lag: by group and topic over time, and by partition with its owner, in records and seconds."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from aiohttp import web

from connectors.kafka.lag import PartitionLag
from streams.console.context import Console, Route, Visit
from streams.console.live.collector import KEPT, READ_SECONDS
from streams.console.live.events import LivePart
from streams.console.live.plots import Line, age_text, line
from streams.control.flows import FlowReading, lag_note
from streams.export.rules.waiting import undelivered_text

SHOWN_SECONDS = KEPT * READ_SECONDS
"""The width of a plot."""
MAX_ROWS = 500
"""Partitions on a page."""


class LagRow(NamedTuple):
    """How far a group is behind, in a partition or in all of a topic."""

    group: str
    topic: str
    partition: int | None
    lag: str
    waits: str
    """Since when the first unread record waits, in words."""
    plot: Line
    committed: str = ""
    end: str = ""
    owner: str = ""
    note: str = ""


async def show(visit: Visit) -> web.StreamResponse:
    """Show the groups and topics, or the partitions of one."""
    console, group, topic = visit.console, visit.asked("group"), visit.asked("topic")
    console.collector.look()
    if not (group and topic):
        return visit.page("lag.html", **live_values(console))
    reading = console.collector.reading
    lags = [lag for lag in reading.lags if (lag.group, lag.topic) == (group, topic)] if reading else []
    if not lags:
        raise LookupError(f"{group} has read nothing of {topic} yet.")
    rows = [_partition_row(console, lag) for lag in lags[:MAX_ROWS]]
    left_out = len(lags) - len(rows)
    return visit.page("lag_of.html", group=group, topic=topic, rows=rows, left_out=left_out, is_old=console.is_old)


def live_values(console: Console) -> dict[str, Any]:
    """Return what the page shows of each group and topic."""
    reading = console.collector.reading
    rows = list(_topic_rows(console, reading)) if reading else []
    undelivered = undelivered_text(reading.undelivered, reading.at) if reading else ""
    return {
        "rows": rows,
        "undelivered": undelivered,
        "is_old": console.is_old,
        "is_known": reading is not None,
    }


def _topic_rows(console: Console, reading: FlowReading) -> Iterator[LagRow]:
    for (group, topic), found in groupby(reading.lags, key=lambda lag: (lag.group, lag.topic)):
        lags = list(found)
        keys = [(group, topic, lag.partition) for lag in lags]
        since = min((reading.since[key] for key in keys if key in reading.since), default=None)
        total, exact = sum(lag.lag for lag in lags), all(lag.exact for lag in lags)
        plot = line(console.collector.history(group, topic), SHOWN_SECONDS, reading.at)
        note = next(filter(None, map(lag_note, lags)), "")
        yield LagRow(group, topic, None, _count(total, exact), _waits(total, since, reading.at), plot, note=note)


def _partition_row(console: Console, lag: PartitionLag) -> LagRow:
    reading = console.collector.reading
    now = reading.at if reading else 0.0
    since = reading.since.get((lag.group, lag.topic, lag.partition)) if reading else None
    plot = line(console.collector.history(lag.group, lag.topic, lag.partition), SHOWN_SECONDS, now)
    committed = "nothing yet" if lag.committed is None else f"{lag.committed:,}"
    return LagRow(
        lag.group,
        lag.topic,
        lag.partition,
        _count(lag.lag, lag.exact),
        _waits(lag.lag, since, now),
        plot,
        committed,
        f"{lag.stable_end:,}",
        lag.owner or "nobody",
        lag_note(lag),
    )


def _count(lag: int, exact: bool) -> str:
    return f"{lag:,}" if exact else f"about {lag:,}"


def _waits(lag: int, since: float | None, now: float) -> str:
    if not lag:
        return "nothing waits"
    return age_text(None if since is None else now - since)


LIVE = LivePart("lag_live.html", live_values)
ROUTES = (
    Route("GET", "/lag", "viewer", show),
    Route("GET", "/lag/live", "viewer", LIVE.send),
)
