"""`cm-streams reset`: begin a topic anew for a stopped stream processor, after it was deleted, truncated or expired."""

import enum
from typing import Annotated

import typer

from connectors.kafka.settings import KafkaSettings
from streams.batches import BatchError, BatchSettings
from streams.batches import reset as reset_offsets
from streams.cli.refusals import FAILED, refusals, refuse
from streams.settings import StreamsSettings


class Begin(enum.StrEnum):
    """Where to begin."""

    EARLIEST = "earliest"
    LATEST = "latest"


def reset(
    group: Annotated[str, typer.Argument(help="Consumer group, as the refusal and `cm-streams lag` name it.")],
    topic: Annotated[str, typer.Argument(help="The topic that was deleted, truncated, or whose records expired.")],
    to: Annotated[Begin, typer.Option("--to", help="Its first record, or only what comes from now on.")] = (
        Begin.EARLIEST
    ),
) -> None:
    """Set a stopped group's offsets of one topic to its first records, so that the processor starts again.

    Nothing is counted twice: rows remember what they hold. Stop the processor's workers first.
    """
    with refusals():
        settings = group_settings(KafkaSettings(), group)
        try:
            done = reset_offsets(settings, topic, to.value)
        except BatchError as refusal:
            refuse(str(refusal), getattr(refusal, "exit_code", FAILED))
        for partition, before, now in done:
            typer.echo(f"{topic}[{partition}]: {'no offset' if before is None else before} -> {now}")


def group_settings(kafka: KafkaSettings, group: str) -> BatchSettings:
    """Return what is needed to reach the broker in the group's name."""
    return BatchSettings(app_id=group, kafka=kafka, data_dir=StreamsSettings().data_dir)
