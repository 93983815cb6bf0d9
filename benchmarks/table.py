"""The table that a person reads: one per suite and workload, each system as a ratio against the peer."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from benchmarks.results import Result
from benchmarks.systems import ADD_CALL, FAUST, KAFKA_STREAMS, OURS, TAP

Column = tuple[str, Callable[[Result], float | None], str]
COLUMNS: Sequence[Column] = (
    ("events/s", lambda row: row.events_per_s, "{:,.0f}"),
    ("CPU us/event", lambda row: row.cpu_us_per_event, "{:.1f}"),
    ("peak MiB", lambda row: row.peak_rss_mb, "{:,.0f}"),
    ("at rest MiB", lambda row: row.resident_mb, "{:,.0f}"),
    ("p50 ms", lambda row: row.p50_ms, "{:.2f}"),
    ("p99 ms", lambda row: row.p99_ms, "{:.2f}"),
    ("of the limit", lambda row: row.limit_fraction, "{:.0%}"),
    ("of the ceiling", lambda row: row.ceiling_fraction, "{:.0%}"),
    ("first ms", lambda row: row.first_ms, "{:,.0f}"),
)
PEERS = (KAFKA_STREAMS, FAUST, ADD_CALL, TAP)
"""What the others are compared with: the first of these that took part."""


def show(results: Iterable[Result], console: Console) -> None:
    """Print the rows. `x` columns are the row's figure divided by the peer's, see PEERS."""
    for (suite, workload), rows in groupby(results, key=lambda row: (row.suite, row.workload)):
        console.print(_table(suite, workload, list(rows)))


def _table(suite: str, workload: str, rows: Sequence[Result]) -> Table:
    names = [row.system for row in rows]
    peer = next((rows[names.index(name)] for name in PEERS if name in names), None)
    columns = [column for column in COLUMNS if any(column[1](row) is not None for row in rows)]
    compared = peer is not None and len(rows) > 1
    title = f"{suite}: {workload}" + (f" (x = divided by {peer.system}'s)" if compared and peer else "")
    notes = "\n".join(f"{row.system}: {row.note}" for row in rows if row.note)
    table = Table(title=title, title_justify="left", caption=notes or None, caption_justify="left")
    table.add_column("system")
    table.add_column("events", justify="right")
    for heading, _, _ in columns:
        table.add_column(heading, justify="right")
        if compared:
            table.add_column("x", justify="right", style="dim")
    table.add_column("guarantee", max_width=46)
    for row in rows:
        cells = [row.system, f"{row.events:,}"]
        for _, value, form in columns:
            found = value(row)
            cells.append("" if found is None else form.format(found))
            if compared:
                base = value(peer) if peer else None
                cells.append("" if found is None or not base else f"{found / base:.2f}")
        table.add_row(*cells, row.guarantee, style="bold" if row.system == OURS else None)
    return table
