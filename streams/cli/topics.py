"""`cm-streams check-topics`, `dead-letters` and `replay-dead-letters`: topics, and the records that were refused."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from connectors.kafka.admin import TopicReport, TopicsRefusedError
from connectors.kafka.admin import check_topics as checked
from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS
from streams.cli.control import refusals, refuse
from streams.dead_letters import Letter, ReplayError, read_letters
from streams.dead_letters import replay as replayed


def check_topics(
    create: Annotated[bool, typer.Option("--create", help="Make the topics that are missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a topic.")] = False,
) -> None:
    """Check that every topic is as it should be; exit code 78 and a sentence for each that is not.

    Topics that exist are never changed.
    """
    with refusals():
        reports = checked(KafkaSettings(), create=create)
        if as_json:
            for report in reports:
                typer.echo(topic_as_object(report))
        else:
            Console().print(topics_as_table(reports))
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
    table = Table("topic", "partitions", "replicas", "cleanup", "state")
    for report in reports:
        wanted = report.wanted
        state = "[red]wrong[/red]" if report.problems else "created" if report.created else "as it should be"
        cleanup = wanted.config["cleanup.policy"]
        table.add_row(wanted.name, str(wanted.partitions), str(wanted.replication_factor), cleanup, state)
    return table


dead_letters = typer.Typer(no_args_is_help=True, help="List dead letters.")

TopicArgument = Annotated[str, typer.Argument(help="The input topic, by its name or its role.", show_default=False)]
SHOWN = 100
"""Letters that `list` shows without --limit."""


@dead_letters.callback()
def _verbs() -> None:
    """Dead letters: records that could not be used, kept as they came."""


@dead_letters.command(name="list")
def list_letters(
    topic: TopicArgument,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that were not replayed yet.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The oldest so many of each partition's order.")] = SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object each, with key and value.")] = False,
) -> None:
    """List the dead letters of an input topic: where each came from, and why it was refused."""
    settings = KafkaSettings()
    with refusals():
        table = Table("dead letter", "came from", "at", "stage", "reason", "key")
        count = 0
        try:
            for letter in read_letters(settings, _named(settings, topic), waiting_only=waiting):
                count += 1
                if count > limit:
                    continue
                if as_json:
                    typer.echo(orjson.dumps(letter_as_object(letter)).decode())
                else:
                    table.add_row(*letter_as_row(letter))
        except ReplayError as error:
            refuse(str(error))
        if not as_json:
            if count > limit:
                table.caption = f"{limit} of {count}; more with --limit"
            Console().print(table)


def replay(topic: TopicArgument) -> None:
    """Send the dead letters of an input topic to it again, each once, oldest first."""
    settings = KafkaSettings()
    with refusals():
        try:
            done = asyncio.run(replayed(settings, _named(settings, topic)))
        except ReplayError as error:
            refuse(str(error))
        typer.echo(f"{done.sent} sent to {_named(settings, topic)} again")
        if done.passed_over:
            typer.echo(f"{done.passed_over} passed over: their values were too large to be kept", err=True)


def letter_as_object(letter: Letter) -> dict[str, Any]:
    """Return a letter as JSON; bytes that are no UTF-8 are shown with replacement characters."""
    record = letter.record
    return {
        "dead_letter": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "at": letter.at,
        "stage": letter.stage,
        "reason": letter.reason,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "value": None if record.value is None else record.value.decode(errors="replace"),
        "left_out_bytes": letter.left_out_bytes,
    }


def letter_as_row(letter: Letter) -> tuple[str, ...]:
    """Return a letter as a table's row."""
    record = letter.record
    came_from = f"{letter.topic} {letter.partition}:{letter.offset}"
    key = "" if record.key is None else record.key.decode(errors="replace")
    return (f"{record.partition}:{record.offset}", came_from, letter.at, letter.stage, letter.reason, key)


def _named(settings: KafkaSettings, topic: str) -> str:
    """Return the topic's name; a role is resolved to the name in use."""
    return settings.names()[topic] if topic in TOPICS else topic
