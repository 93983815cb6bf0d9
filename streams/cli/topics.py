"""`cm-streams lag`, `reset` and `check-topics`: what the brokers hold, and where groups are."""

import asyncio
import enum
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.live import Live
from rich.table import Table

from connectors.kafka.admin import TopicReport, TopicsRefusedError
from connectors.kafka.admin import check_topics as checked
from connectors.kafka.lag import LagReader, PartitionLag
from schemas.envelope import rfc3339
from streams.cli.control import FAILED, kafka_settings, record, refusals, refuse
from streams.cli.output import JsonLines, add_row, fitted, live_console, plain, print_json, print_table, table_of
from streams.control.flows import lag_note
from streams.control.undelivered import UndeliveredReader
from streams.export.rules.waiting import Undelivered, undelivered_text

if TYPE_CHECKING:
    from connectors.kafka.settings import KafkaSettings
    from streams.batches import BatchSettings

GroupOption = Annotated[list[str] | None, typer.Option("--group", help="Only this consumer group; may be repeated.")]
TopicOption = Annotated[list[str] | None, typer.Option("--topic", help="Only this topic; may be repeated.")]


def lag(
    group: GroupOption = None,
    topic: TopicOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two reads, with --watch.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per read.")] = False,
) -> None:
    """Show consumer lag by group, topic and partition.

    Counts records that can be read: transaction markers, and what is behind an open transaction, do not count.
    """
    with refusals(), LagReader(settings := kafka_settings()) as reader, closing(UndeliveredReader(settings)) as waiting:
        looks = _looks(reader, waiting, group, topic, every if watch else None)
        if as_json:
            for lags, undelivered in looks:
                typer.echo(lag_as_object(lags, undelivered, datetime.now(UTC)))
        elif watch:
            with Live(console=live_console(), auto_refresh=False) as live:
                for lags, undelivered in looks:
                    table = lag_as_table(lags, undelivered_text(undelivered, time.time()))
                    live.update(fitted(table, live.console.width), refresh=True)
        else:
            for lags, undelivered in looks:
                print_table(lag_as_table(lags, undelivered_text(undelivered, time.time())))


def _looks(
    reader: LagReader,
    waiting: UndeliveredReader,
    groups: Sequence[str] | None,
    topics: Sequence[str] | None,
    every: float | None,
) -> Iterator[tuple[list[PartitionLag], Undelivered]]:
    try:
        while True:
            look = reader.look(groups or None, topics=topics or None, also=[waiting.topic])
            yield look.lags, waiting.read(look.bounds, time.time())
            if every is None:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        return


def lag_as_object(lags: Sequence[PartitionLag], undelivered: Undelivered, at: datetime) -> str:
    """Return a look as JSON: the total, every partition, and what was read and is not delivered."""
    since = None if undelivered.since is None else rfc3339(datetime.fromtimestamp(undelivered.since, UTC))
    return orjson.dumps(
        {
            "at": rfc3339(at),
            "lag": sum(row.lag for row in lags),
            "undelivered": {"people": undelivered.people, "since": since},
            "partitions": [asdict(row) for row in lags],
        }
    ).decode()


def lag_as_table(lags: Sequence[PartitionLag], undelivered: str) -> Table:
    """Return a look as a table, with a total for each group and topic of several partitions."""
    table = table_of("group", "topic")
    for name in ("partition", "committed", "end", "lag"):
        table.add_column(name, justify="right")
    table.add_column("note", overflow="fold")
    for (group, topic), partitions in groupby(lags, key=lambda lag: (lag.group, lag.topic)):
        rows = list(partitions)
        for row in rows:
            committed = "-" if row.committed is None else str(row.committed)
            behind = str(row.lag) if row.exact else f"~{row.lag}"
            add_row(table, group, topic, str(row.partition), committed, str(row.stable_end), behind, lag_note(row))
        if len(rows) > 1:
            exact = all(row.exact for row in rows)
            total = sum(row.lag for row in rows)
            shown = plain(str(total) if exact else f"~{total}", "bold")
            add_row(table, group, topic, "all", "", "", shown, end_section=True)
        else:
            table.add_section()
    table.caption = undelivered if lags else "no consumer group has read anything yet"
    return table


class ResetTarget(enum.StrEnum):
    """Which record the group reads next."""

    EARLIEST = "earliest"
    LATEST = "latest"


def reset(
    group: Annotated[str, typer.Argument(help="Consumer group, as the refusal and `cm-streams lag` name it.")],
    topic: Annotated[str, typer.Argument(help="The topic that was deleted, truncated, or whose records expired.")],
    to: Annotated[ResetTarget, typer.Option("--to", help="Its first record, or only what comes from now on.")] = (
        ResetTarget.EARLIEST
    ),
    as_json: JsonLines = False,
) -> None:
    """Set a stopped group's offsets of one topic to its first records, so that the processor starts again.

    Nothing is counted twice: rows remember what they hold. Stop the processor's workers first.
    """
    from streams.batches import BatchError
    from streams.batches import reset as reset_offsets

    with refusals():
        kafka = kafka_settings()
        settings = group_settings(kafka, group)
        asyncio.run(record(kafka, "offsets", group, "reset", topic=topic, to=to.value))
        try:
            done = reset_offsets(settings, topic, to.value)
        except BatchError as refusal:
            refuse(str(refusal), getattr(refusal, "exit_code", FAILED))
        for partition, before, now in done:
            if as_json:
                print_json({"topic": topic, "partition": partition, "before": before, "now": now}, one_line=True)
            else:
                typer.echo(f"{topic}[{partition}]: {'no offset' if before is None else before} -> {now}")


def group_settings(kafka: "KafkaSettings", group: str) -> "BatchSettings":
    """Return what is needed to reach the broker in the group's name."""
    from streams.batches import BatchSettings
    from streams.process import StreamsSettings

    return BatchSettings(app_id=group, kafka=kafka, data_dir=StreamsSettings().data_dir)


def check_topics(
    create: Annotated[bool, typer.Option("--create", help="Make the topics that are missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a topic.")] = False,
) -> None:
    """Check that every topic is as it should be; exit code 78 and a sentence for each that is not.

    Topics that exist are never changed.
    """
    with refusals():
        reports = checked(kafka_settings(), create=create)
        if as_json:
            for report in reports:
                typer.echo(topic_as_object(report))
        else:
            print_table(topics_as_table(reports))
        problems = [problem for report in reports for problem in report.problems]
        if problems:
            raise TopicsRefusedError(problems)


def topic_as_object(report: TopicReport) -> str:
    """Return one topic as JSON."""
    return orjson.dumps(
        {
            "topic": report.wanted.name,
            "partitions": report.wanted.partitions,
            "replication_factor": report.wanted.replication_factor,
            "config": dict(report.wanted.config),
            "created": report.created,
            "problems": report.problems,
        }
    ).decode()


def topics_as_table(reports: Sequence[TopicReport]) -> Table:
    """Return all topics as a table."""
    table = table_of("topic", "partitions", "replicas", "cleanup", "state")
    for report in reports:
        wanted = report.wanted
        state = plain("wrong", "red") if report.problems else "created" if report.created else "as it should be"
        cleanup = wanted.config["cleanup.policy"]
        add_row(table, wanted.name, str(wanted.partitions), str(wanted.replication_factor), cleanup, state)
    return table
