"""`cm-streams dead-letters`: the records that were refused, on all topics: counted, shown, replayed, discarded."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import orjson
import typer

from connectors.kafka.settings import KafkaSettings
from streams.cli.control import kafka_settings, refusals, refuse, with_audit
from streams.cli.output import JsonLines, OneJsonLine, add_row, print_json, print_table, table_of
from streams.control.letters import (
    MAX_WHY,
    LetterCount,
    PlaceError,
    choice,
    chosen_letters,
    counted,
    discard_recorded,
    input_topics,
    letter_as_object,
    replay_recorded,
    shown,
    topic_named,
)
from streams.dead_letters.letters import Choice, Letter, ReplayError
from streams.dead_letters.replays import Replayed

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Dead letters: records that could not be used, kept as they came."
)

WRONG_USE = 2
SHOWN = 100
"""Letters that `list` shows without --limit."""

InputTopic = Annotated[str, typer.Argument(help="The input topic, by its name or its role.", show_default=False)]
AnyTopic = Annotated[str | None, typer.Argument(help="An input topic, by its name or its role; all without it.")]
Places = Annotated[
    list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]...", help="Single letters, as `list` names them.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only those whose reason holds this text.")]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only those that were refused at this stage.")]
Done = Annotated[bool, typer.Option("--all", help="Also those that were replayed or discarded.")]


@app.command()
def count(done: Done = False, as_json: JsonLines = False) -> None:
    """Count the letters that wait, on all topics: by topic, stage and reason.

    Streams that added mappings read have dead letters too: `dead-letters list TOPIC` shows them.
    """
    with refusals():
        settings = kafka_settings()
        groups = [group for topic in input_topics(settings) for group in _counted(settings, topic, done)]
    table = table_of("topic", "stage", "reason", "letters", "refused", "last at")
    for group in sorted(groups):
        if as_json:
            typer.echo(orjson.dumps(group._asdict()).decode())
        else:
            topic, stage, reason, letters, times, last = group
            add_row(table, topic, stage, reason, str(letters), f"{times} times", last)
    if not as_json:
        table.caption = None if groups else "no letter waits"
        print_table(table)


@app.command(name="list")
def list_letters(
    topic: AnyTopic = None,
    reason: ReasonOption = None,
    stage: StageOption = None,
    done: Done = False,
    limit: Annotated[int, typer.Option(min=1, help="The oldest so many of each partition's order.")] = SHOWN,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object each, with key and value.")] = False,
) -> None:
    """List the letters that wait: where each came from, why it was refused, and how often.

    A record that was replayed and refused again is one letter.
    """
    with refusals():
        settings = kafka_settings()
        table = table_of("topic", "dead letter", "came from", "at", "stage", "reason", "times", "key")
        found = 0
        for name in [topic_named(settings, topic)] if topic else input_topics(settings):
            for letter in _read(settings, name, _choice(None, reason, stage), done):
                found += 1
                if found > limit:
                    continue
                if as_json:
                    typer.echo(orjson.dumps(letter_as_object(letter)).decode())
                else:
                    add_row(table, name, *letter_as_row(letter))
        if not as_json:
            table.caption = f"{limit} of {found}; more with --limit" if found > limit else None
            print_table(table)


@app.command()
def show(
    topic: InputTopic,
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET")],
    as_json: OneJsonLine = False,
) -> None:
    """Show one letter, done with or not, with its key and value, as JSON."""
    with refusals():
        settings = kafka_settings()
        wanted = _choice([place], None, None)
        for letter in _read(settings, topic_named(settings, topic), wanted, done=True):
            print_json(letter_as_object(letter), one_line=as_json)
            return
        refuse(
            f"There is no dead letter {place} of {topic}, or it was refused again since: `dead-letters list` shows all"
        )


@app.command(name="replay")
def send_again(
    topic: InputTopic, places: Places = None, reason: ReasonOption = None, stage: StageOption = None
) -> None:
    """Send letters to their input topic again, each once, oldest first: all that wait, or those that are chosen."""
    with refusals():
        settings = kafka_settings()
        try:
            done = asyncio.run(_replayed(settings, topic_named(settings, topic), _choice(places, reason, stage)))
        except ReplayError as error:
            refuse(str(error))
        typer.echo(f"{done.sent} sent to {topic_named(settings, topic)} again")
        if done.passed_over:
            typer.echo(f"{done.passed_over} passed over: their values were too large to be kept", err=True)
        if places and not done.sent + done.passed_over:
            refuse("None of these waits: `dead-letters list` shows those that do")


@app.command(name="discard")
def drop(
    topic: InputTopic,
    places: Places = None,
    reason: ReasonOption = None,
    stage: StageOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    why: Annotated[str, typer.Option("--why", help="It is recorded, without e-mail addresses.")] = "",
) -> None:
    """Be done with letters without sending them; they stay on the dead-letter topic as long as it keeps them."""
    if not (places or reason or stage or everything):
        refuse("Name letters, --reason or --stage; or --all, to discard all that wait", WRONG_USE)
    if len(why) > MAX_WHY:
        refuse(f"--why has {MAX_WHY} characters at most", WRONG_USE)
    with refusals():
        settings = kafka_settings()
        try:
            chosen = _choice(places, reason, stage)
            count = asyncio.run(_discarded(settings, topic_named(settings, topic), chosen, why))
        except ReplayError as error:
            refuse(str(error))
        typer.echo(f"{count} of {topic_named(settings, topic)} discarded")


async def _replayed(settings: KafkaSettings, topic: str, chosen: Choice) -> Replayed:
    async with with_audit(settings) as audit:
        return await replay_recorded(settings, audit, topic, chosen)


async def _discarded(settings: KafkaSettings, topic: str, chosen: Choice, why: str) -> int:
    async with with_audit(settings) as audit:
        return await discard_recorded(settings, audit, topic, chosen, why)


def letter_as_row(letter: Letter) -> tuple[str, ...]:
    """Return a letter as a table's row."""
    record = letter.record
    came_from = f"{letter.topic} {letter.partition}:{letter.offset}"
    return (letter.place, came_from, letter.at, letter.stage, letter.reason, str(letter.times), shown(record.key) or "")


def _read(settings: KafkaSettings, topic: str, chosen: Choice, done: bool) -> Iterator[Letter]:
    try:
        yield from chosen_letters(settings, topic, chosen, done=done)
    except ReplayError as error:
        refuse(str(error))


def _counted(settings: KafkaSettings, topic: str, done: bool) -> list[LetterCount]:
    try:
        return counted(settings, topic, done=done)
    except ReplayError as error:
        refuse(str(error))


def _choice(places: list[str] | None, reason: str | None, stage: str | None) -> Choice:
    """Return what chooses letters by place, reason and stage; what is not given chooses all."""
    try:
        return choice(places or (), reason, stage)
    except PlaceError as fault:
        refuse(str(fault), WRONG_USE)
