"""`cm-streams stores`: when a changelog was deleted, and the local stores are its last copy; when partitions grow."""

import asyncio
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.control import FAILED, kafka_settings, record, refusals, refuse
from streams.cli.output import JsonLines, print_json

if TYPE_CHECKING:  # the workers bring Faust
    from connectors.campaign_monitor.credentials import Credential
    from streams.batches import BatchApp

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Restore a lost changelog, rebuild its rows, or copy them."
)


class Processor(enum.StrEnum):
    """Whose stores they are."""

    PROFILES = "profiles"
    EXPORT = "export"


ProcessorArgument = Annotated[Processor, typer.Argument(help="Whose stores.", show_default=False)]


@app.command()
def restore(processor: ProcessorArgument, as_json: JsonLines = False) -> None:
    """Publish the rows of this host's stores to a changelog that was deleted and created again.

    Stop the processor's workers, create the topic (check-topics --create), and run it on each host that has stores. Of
    several stores of one partition the one that had more counts, and rows that workers wrote since count more.
    """
    with _refusals():
        asyncio.run(record(kafka_settings(), "stores", processor.value, "restore"))
        restored = asyncio.run(_restored(processor))
        for table, partition, rows in restored:
            if as_json:
                print_json({"table": table, "partition": partition, "rows": rows}, one_line=True)
            else:
                typer.echo(f"{table}[{partition}]: {rows} rows restored")
        if not restored and not as_json:
            typer.echo("nothing to restore: this host has no store of a former changelog")


@app.command()
def discard(processor: ProcessorArgument, as_json: JsonLines = False) -> None:
    """Delete this host's stores, and read the inputs from their first records again.

    What the inputs do not hold any more is lost. The changelog has to be empty. Stop the processor's workers first, and
    run it on each host that has stores.
    """
    from streams.batches import discard_stores

    with _refusals():
        asyncio.run(record(kafka_settings(), "stores", processor.value, "discard"))
        done = discard_stores(_app_of(processor))
        for partition, before, now in done:
            if as_json:
                print_json({"partition": partition, "before": before, "now": now}, one_line=True)
            else:
                typer.echo(f"partition {partition}: {'no offset' if before is None else before} -> {now}")


@app.command()
def copy(
    processor: ProcessorArgument,
    former: Annotated[str, typer.Option("--from", help="The changelog with the former number of partitions.")],
) -> None:
    """Copy a processor's rows to topics with more partitions: each row to the partition of its key.

    1. Stop what publishes to the inputs; wait until `cm-streams lag` shows nothing; stop all processes.

    2. Set the new KAFKA_PARTITIONS, and another KAFKA_TOPIC_PREFIX; have KAFKA_TOPICS name cm_jobs, cm_authorizations,
    cm_webhooks, cm_import_progress and cm_export-state as they are. Then `cm-streams check-topics --create`.

    3. `cm-streams stores copy profiles --from cm_profile` and `cm-streams stores copy export --from
    cm_memberships-changelog`, by their former names.

    4. Start all with these settings, and with an empty STREAMS_DATA_DIR; let upstream publish to the new topics.
    """
    from streams.batches import copy_changelog
    from streams.export.table import CHECKPOINT_KEY

    with _refusals():
        asyncio.run(record(kafka_settings(), "stores", processor.value, "copy", changelog=former))
        rows = asyncio.run(copy_changelog(_app_of(processor), former, without={CHECKPOINT_KEY}))
        typer.echo(f"{rows} rows copied from {former}")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what stores and topics forbid into a sentence, too, with the exit code of its kind."""
    from streams.batches import BatchError

    with refusals():
        try:
            yield
        except BatchError as refusal:
            refuse(str(refusal), getattr(refusal, "exit_code", FAILED))


async def _restored(processor: Processor) -> list[tuple[str, int, int]]:
    from streams.batches import restore_changelogs

    return [*await restore_changelogs(_app_of(processor))]


def _app_of(processor: Processor) -> "BatchApp":
    """Return the processor's app, which is not started."""
    from connectors.campaign_monitor.credentials import CampaignMonitorSettings
    from streams.export.settings import ExportSettings
    from streams.export.worker import ExportWorker
    from streams.process import StreamsSettings
    from streams.profile.settings import ProfileSettings
    from streams.profile.worker import ProfileWorker

    streams, kafka = StreamsSettings(), kafka_settings()
    if processor is Processor.PROFILES:
        return ProfileWorker(streams, kafka, ProfileSettings()).app
    return ExportWorker(
        streams, kafka, ExportSettings(), CampaignMonitorSettings(), _no_credential, _report_nothing
    ).app


async def _no_credential(authorization_id: str) -> "Credential":
    from streams.export.lists.accounts import NoCredentialError

    raise NoCredentialError(f"{authorization_id}: nothing is sent")


async def _report_nothing(_job_id: str, _attention: str | None) -> None:
    pass
