"""One process each: `cm-streams worker`, `connector`, `webhooks`, `console` and `simulator`."""

import asyncio
import gc
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.kafka.settings import KafkaSettings
from streams.process import refused_with_a_sentence, run_with_health, start_process, wait_for_topics

if TYPE_CHECKING:
    from connectors.devkit.simulator.settings import SimulatorSettings

worker = typer.Typer(add_completion=False, no_args_is_help=True, help="Run a stream processor.")


@worker.command()
def profiles() -> None:
    """Fold cm_user, cm_activity and added streams into profiles."""
    from streams.profile.settings import ProfileSettings
    from streams.profile.worker import ProfileWorker

    settings = start_process("profile-worker")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka, settings)
        worker = ProfileWorker(settings, kafka, ProfileSettings())
    run_with_health(worker.app, settings, worker.start, worker.stop)


@worker.command()
def export() -> None:
    """Keep Campaign Monitor lists in step with audiences."""
    from streams.export.settings import ExportSettings
    from streams.export.worker import ExportProcess

    settings = start_process("export-worker")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka, settings)
        process = ExportProcess(settings, kafka, ExportSettings(), CampaignMonitorSettings(), ControlSettings())
    run_with_health(process.worker.app, settings, process.start, process.stop, process.refused_access)


def connector() -> None:
    """Import subscribers and activity: runs the tasks of all import jobs, and schedules their next runs."""
    from connectors.importer.run import run
    from connectors.importer.settings import ImporterSettings

    settings = start_process("connector")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka, settings)
        asyncio.run(
            run(
                kafka,
                CampaignMonitorSettings(),
                ControlSettings(),
                ImporterSettings(),
                health_host=settings.health_host,
                health_port=settings.health_port,
            )
        )


def webhooks() -> None:
    """Receive Campaign Monitor's webhooks, and keep each list's webhook registered and active."""
    import uvloop

    from connectors.webhook.run import run
    from connectors.webhook.settings import WebhookSettings

    settings = start_process("webhooks")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka, settings)
        uvloop.run(
            run(
                kafka,
                CampaignMonitorSettings(),
                ControlSettings(),
                WebhookSettings(),
                health_host=settings.health_host,
                health_port=settings.health_port,
            )
        )


def console() -> None:
    """Serve pages for authorizations, exports, imports and jobs.

    Prints its address, and the set-up link while there is no user.
    """
    from streams.console.run import run
    from streams.console.settings import ConsoleSettings

    settings = start_process("console")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka, settings)
        asyncio.run(
            run(
                kafka,
                CampaignMonitorSettings(),
                ControlSettings(),
                ConsoleSettings(),
                show=typer.echo,
                health_host=settings.health_host,
                health_port=settings.health_port,
            )
        )


def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free port.")] = 8900,
    host: Annotated[
        str, typer.Option(help="There is no access control on /simulator: loopback is meant.")
    ] = "127.0.0.1",
    subscribers: Annotated[int, typer.Option(min=0, help="Subscribers of the first list.")] = 2_000,
    activity: Annotated[int, typer.Option(min=0, help="Report rows of all campaigns and journeys.")] = 5_000,
    latency_ms: Annotated[float, typer.Option(min=0, help="What an API call takes at least.")] = 0.0,
    latency_us_per_row: Annotated[
        float, typer.Option(min=0, help="And for each subscriber or row that is sent or shown.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed and day give the same data.")] = 1,
    demo: Annotated[bool, typer.Option(help="Fill the account; --no-demo starts it empty.")] = True,
    now: Annotated[str | None, typer.Option(help="The clock's start, ISO with offset; else the real time.")] = None,
    frozen: Annotated[bool, typer.Option(help="The clock does not move by itself.")] = False,
    rate_limit: Annotated[int, typer.Option(min=0, help="API calls a minute; 0 is no limit.")] = 0,
    address_limit: Annotated[int, typer.Option(min=0, help="Writes of one address in 10 s; 0 is no limit.")] = 0,
    add_delay_seconds: Annotated[float, typer.Option(min=0, help="Time an added subscriber is queued.")] = 0.0,
    book_limit: Annotated[int | None, typer.Option(min=1, help="Entries kept in each log; all without it.")] = None,
    keep_rows: Annotated[int, typer.Option(min=0, help="Rows of pages that are kept encoded, for load tests.")] = 0,
    state_file: Annotated[
        Path | None, typer.Option(help="Keep the account in this file, and go on with it at the next start.")
    ] = None,
) -> None:
    """Run a local Campaign Monitor with a demo account; prints `ready` when it serves.

    The account's API key is what CM_API_KEY holds, else simulator-key: everybody can read a command line.
    """
    import uvloop

    from connectors.devkit.simulator.settings import SimulatorSettings

    start_process("simulator")
    settings = SimulatorSettings(
        host=host,
        port=port,
        api_key=os.environ.get("CM_API_KEY") or "simulator-key",
        demo=demo,
        subscribers=subscribers,
        activity=activity,
        latency_ms=latency_ms,
        latency_us_per_row=latency_us_per_row,
        seed=seed,
        now=_instant(now) if now else None,
        frozen=frozen,
        rate_limit=rate_limit,
        address_limit=address_limit,
        add_delay_seconds=add_delay_seconds,
        book_limit=book_limit,
        keep_rows=keep_rows,
    )
    try:
        uvloop.run(_serve(settings, state_file))
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as fault:
        raise typer.BadParameter(f"--now {text}: {fault}") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"--now {text}: an offset is required, as in 2026-05-01T12:00:00+00:00")
    return found


async def _serve(settings: "SimulatorSettings", state_file: Path | None) -> None:
    from connectors.devkit.simulator.kept_state import StateFile
    from connectors.devkit.simulator.server import Simulator

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    # What it holds is kept for good: looking through it for garbage would double the price of an import.
    gc.set_threshold(100_000, 20, 50)
    file = StateFile(state_file) if state_file else None
    async with Simulator(settings, file.load(settings) if file else None) as running:
        keeping = [asyncio.create_task(file.keep(running.state))] if file else []
        gc.freeze()
        typer.echo(f"API    {running.base_url}")
        typer.echo(f"OAuth  {running.oauth_url}  (client id {settings.oauth_client_id})")
        typer.echo(f"log in as {settings.login_username}, password {settings.login_password}")
        typer.echo(f"admin  {running.admin_url}")
        typer.echo("ready")
        await stopped.wait()
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
