"""`cm-streams dead-letters` and `replay-dead-letters`: what was refused, and sending it again."""

import asyncio
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS
from streams.cli.refusals import refusals, refuse
from streams.runtime.replay import Letter, ReplayError, read_letters
from streams.runtime.replay import replay as replayed

app = typer.Typer(no_args_is_help=True, help="List dead letters.")

TopicArgument = Annotated[str, typer.Argument(help="The input topic, by its name or its role.", show_default=False)]
SHOWN = 100
"""Letters that `list` shows without --limit."""


@app.callback()
def _verbs() -> None:
    """Dead letters: records that could not be used, kept as they came."""


@app.command(name="list")
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
                    typer.echo(orjson.dumps(as_object(letter)).decode())
                else:
                    table.add_row(*as_row(letter))
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


def as_object(letter: Letter) -> dict[str, Any]:
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


def as_row(letter: Letter) -> tuple[str, ...]:
    """Return a letter as a table's row."""
    record = letter.record
    came_from = f"{letter.topic} {letter.partition}:{letter.offset}"
    key = "" if record.key is None else record.key.decode(errors="replace")
    return (f"{record.partition}:{record.offset}", came_from, letter.at, letter.stage, letter.reason, key)


def _named(settings: KafkaSettings, topic: str) -> str:
    """Return the topic's name; a role of the table stands for the name in use."""
    return settings.names()[topic] if topic in TOPICS else topic
