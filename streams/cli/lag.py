"""`cm-streams lag`: how far each consumer group is behind, in records that it could read."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from connectors.kafka.lag import LagReader, PartitionLag
from connectors.kafka.settings import KafkaSettings
from schemas.envelope import rfc3339
from streams.cli.refusals import refusals

Groups = Annotated[list[str] | None, typer.Option("--group", help="Only this consumer group; may be repeated.")]
Topics = Annotated[list[str] | None, typer.Option("--topic", help="Only this topic; may be repeated.")]


def lag(
    group: Groups = None,
    topic: Topics = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks, with --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a look.")] = False,
) -> None:
    """Show consumer lag by group, topic and partition.

    Counts records that can be read: transaction markers, and what stands behind an open transaction, do not count.
    """
    with refusals(), LagReader(KafkaSettings()) as reader:
        looks = _looks(reader, group, topic, every if watch else None)
        if as_json:
            for lags in looks:
                typer.echo(as_object(lags, datetime.now(UTC)))
        elif watch:
            with Live(console=Console(), auto_refresh=False) as live:
                for lags in looks:
                    live.update(as_table(lags), refresh=True)
        else:
            for lags in looks:
                Console().print(as_table(lags))


def _looks(
    reader: LagReader, groups: Sequence[str] | None, topics: Sequence[str] | None, every: float | None
) -> Iterator[list[PartitionLag]]:
    try:
        while True:
            yield reader.read(groups or None, topics=topics or None)
            if every is None:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        return


def as_object(lags: Sequence[PartitionLag], at: datetime) -> str:
    """Return a look as JSON: the total, and every partition."""
    return orjson.dumps(
        {"at": rfc3339(at), "lag": sum(each.lag for each in lags), "partitions": [asdict(each) for each in lags]}
    ).decode()


def as_table(lags: Sequence[PartitionLag]) -> Table:
    """Return a look as a table, with a total for each group and topic of several partitions."""
    table = Table("group", "topic")
    for name in ("partition", "committed", "end", "lag"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for (group, topic), each in groupby(lags, key=lambda lag: (lag.group, lag.topic)):
        rows = list(each)
        for row in rows:
            committed = "-" if row.committed is None else str(row.committed)
            behind = str(row.lag) if row.exact else f"~{row.lag}"
            table.add_row(group, topic, str(row.partition), committed, str(row.stable_end), behind, note(row))
        if len(rows) > 1:
            exact = all(row.exact for row in rows)
            total = sum(row.lag for row in rows)
            table.add_row(
                group, topic, "all", "", "", f"[bold]{total if exact else f'~{total}'}[/bold]", end_section=True
            )
        else:
            table.add_section()
    if not lags:
        table.caption = "no consumer group has read anything yet"
    return table


def note(lag: PartitionLag) -> str:
    """Return what is wrong with a group's place, if anything."""
    if lag.beyond:
        return "behind the end: the topic was made anew or cut"
    if lag.lost:
        return f"{lag.lost} records expired before they were read"
    return ""
