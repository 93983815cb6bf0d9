"""`cm-streams up`: everything on one machine, with a demonstration."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.text import Text

from connectors.control.users import Users
from connectors.devkit.embedded_kafka.artifacts import BrokerUnavailableError
from connectors.devkit.ports import free_ports
from connectors.devkit.simulator.controls.admin import SimulatorAdmin
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.admin import CONFIGURATION_ERROR
from connectors.kafka.broker_check import check_brokers
from connectors.kafka.publishing import PublishError
from connectors.kafka.read_to_end import ReadError
from connectors.kafka.settings import KafkaSettings
from streams.cli.control import FAILED, refusals, refuse
from streams.cli.output import print_table
from streams.demo.demonstration import Demonstration
from streams.demo.findings import as_table, verdict
from streams.demo.machine import PORTS_NEEDED, Machine, PortError, machine
from streams.demo.run_directory import InUseError, RunDirectory
from streams.demo.startup import StartUp
from streams.demo.supervisor import ServiceFailedError, Supervisor, shown_path
from streams.process import StreamsSettings

DIRECTORIES = ("up", "account", "their-broker", "once")
KEPT = {"up", "account"}
"""Directories with a broker of ours in them, whose data the next start goes on with."""
INTERRUPTED = 130
"""Exit code of what Ctrl-C ended before its time, as shells have it."""

CLIENTS_SECONDS = 2.0
"""For the demonstration's clients to end, which wait for a broker that does not answer."""

console = Console()


def up(
    once: bool = typer.Option(False, "--once", help="Play the demonstration to its end, check it, and exit 0 or 1."),
    demo: bool = typer.Option(
        False, "--demo", help="Play the demonstration on the broker of KAFKA_BOOTSTRAP_SERVERS, too."
    ),
    fresh: bool = typer.Option(False, "--fresh", help="Begin with empty topics, stores and account."),
) -> None:
    """Start a broker, a local Campaign Monitor and all processes; play a demonstration; Ctrl-C stops everything.

    The next start goes on with the data, unless --fresh. With KAFKA_BOOTSTRAP_SERVERS and --demo all of that is done
    on that broker; without --demo it is refused. With CM_BASE_URL that Campaign Monitor is used, without a
    demonstration. --once has a directory of its own, which is empty at each start.
    """
    with refusals():
        settings = StreamsSettings()
        for name in DIRECTORIES:
            RunDirectory(settings.data_dir / name).forget_settings(os.environ)
        try:
            with RunDirectory(settings.data_dir / _directory_name(once=once)) as directory:
                if once and os.environ.get("CM_BASE_URL"):
                    refuse("--once plays the demonstration, on the local Campaign Monitor: unset CM_BASE_URL", 78)
                if fresh or directory.path.name not in KEPT:
                    directory.clear()
                code = asyncio.run(_until_stopped(directory, once=once, demo=demo))
        except (InUseError, PortError) as refusal:
            refuse(str(refusal), CONFIGURATION_ERROR)
        except (ServiceFailedError, BrokerUnavailableError, TimeoutError) as failure:
            refuse(str(failure), FAILED)
    raise typer.Exit(code)


def _directory_name(*, once: bool) -> str:
    """Return the directory below the data directory: what belongs to another broker or account never meets."""
    if once:
        return "once"
    if KafkaSettings().bootstrap_servers:
        return "their-broker"
    return "account" if os.environ.get("CM_BASE_URL") else "up"


def _refuse_their_broker(kafka: KafkaSettings) -> None:
    """Refuse to let made-up events, and a Campaign Monitor that is none, meet the jobs and people of a real broker."""
    refuse(
        f"KAFKA_BOOTSTRAP_SERVERS names {kafka.bootstrap_servers}, and nothing was done there: unset it to "
        "have a broker started. --demo (DEMO=1 make run) creates topics, publishes made-up events and jobs, and runs "
        "workers there",
        CONFIGURATION_ERROR,
    )


async def _until_stopped(directory: RunDirectory, *, once: bool, demo: bool) -> int:
    """Run everything until it ends by itself or a signal comes, in whatever state; a second signal ends it at once."""
    stopped = _stopped_by_signal()
    running = asyncio.create_task(_run(directory, once=once, demo=demo))
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        stop.cancel()
        return running.result()
    _show_line("stopping; Ctrl-C again ends everything at once")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    # All that was started has been stopped, in order. A thread may still wait for Maven, or for a broker that is gone;
    # it holds nothing, and asyncio would wait for it.
    _end_at_once(INTERRUPTED if once else 0)
    raise AssertionError("not reached")


async def _run(directory: RunDirectory, *, once: bool, demo: bool) -> int:
    began = time.monotonic()
    kafka = KafkaSettings()
    if kafka.bootstrap_servers:
        await asyncio.to_thread(check_brokers, kafka)
        if not demo and not os.environ.get("CM_BASE_URL"):
            _refuse_their_broker(kafka)
        _show_line(f"using the Kafka of KAFKA_BOOTSTRAP_SERVERS, {kafka.bootstrap_servers}; its topics are kept")
    kept = directory.kept_settings()
    if not kept:
        directory.clear()  # a start that got nowhere: nothing in it is complete
    supervisor = Supervisor(directory.path / "logs", directory.held, _show_line)
    here = machine(
        os.environ,
        bootstrap_servers=kafka.bootstrap_servers,
        data_dir=directory.path,
        free_ports=free_ports(PORTS_NEEDED),
        kept=kept,
    )
    begun = StartUp(here, kafka, supervisor, kept, _show_line)
    async with contextlib.AsyncExitStack() as stack:
        broker = None if kafka.bootstrap_servers else await stack.enter_async_context(begun.broker(directory))
        stack.push_async_callback(supervisor.stop)
        admin = await stack.enter_async_context(SimulatorAdmin(here.simulator_admin_url))
        await begun.start(broker, admin)
        env_file = directory.write_settings(begun.here.shell_settings(os.environ))
        async with Users(begun.kafka) as users:
            is_new = not users.all()
        _where_to_look(begun.here, supervisor, env_file, time.monotonic() - began, is_new=is_new)
        if kept:
            _show_line("going on with the data of the earlier start; FRESH=1 make run begins again, with its story")
        return await _play_and_wait(supervisor, None if kept else begun.demonstration, admin, once=once)


async def _play_and_wait(
    supervisor: Supervisor, demonstration: Demonstration | None, admin: SimulatorAdmin, *, once: bool
) -> int:
    """Play the demonstration; return its exit code with `once`, else wait. Raises ServiceFailedError."""
    work: asyncio.Task[int] = asyncio.create_task(_play(demonstration, admin, once=once))
    try:
        ends: set[asyncio.Future[Any]] = {work, supervisor.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if supervisor.failed.done():
            supervisor.failed.result()
        code = work.result()
        if not once:
            await asyncio.shield(supervisor.failed)
        return code
    finally:
        work.cancel()
        # Its clients end while the broker and the local Campaign Monitor still answer them.
        await asyncio.wait({work}, timeout=CLIENTS_SECONDS)


async def _play(demonstration: Demonstration | None, admin: SimulatorAdmin, *, once: bool) -> int:
    if demonstration is None:
        return 0
    try:
        await demonstration.play(admin)
        found = await demonstration.findings(admin)
    except (KafkaException, PublishError, ReadError, TimeoutError, aiohttp.ClientError) as failure:
        if once:
            raise
        _show_line(f"the demonstration ends here ({failure}); everything keeps running. Ctrl-C stops it.")
        return FAILED
    print_table(as_table(found))
    if not once:
        _show_line("the demonstration is over; everything keeps running. Ctrl-C stops it.")
    return verdict(found)


def _where_to_look(here: Machine, supervisor: Supervisor, env_file: Path, seconds: float, *, is_new: bool) -> None:
    ports = here.ports
    person = SimulatorSettings()
    who = f"log in as {person.login_username}, password {person.login_password}"
    local = [f"                     OAuth {here.oauth_url}, {who}"] if here.simulated else []
    setup = [f"                     set up, once: {here.console_url}setup/{here.setup_token}"] if is_new else []
    lines = [
        f" after {seconds:.1f} s",
        f"  console            {here.console_url}",
        *setup,
        f"  Kafka              {here.bootstrap_servers}",
        f"  Campaign Monitor   {here.base_url}",
        *local,
        f"  webhooks           http://127.0.0.1:{ports.webhooks}",
        f"  profiles           http://127.0.0.1:{ports.profiles}/profiles/EMAIL",
        *(f"  {name:<18} http://127.0.0.1:{port}/ready, /metrics" for name, port in ports.health.items()),
        f"  logs               {shown_path(supervisor.log_file('*'))}",
        "",
        "In another terminal, the addresses, keys and tokens of this start, and a first command:",
        f"  source {shown_path(env_file)}",
        "  .venv/bin/cm-streams job list",
        "",
    ]
    console.print(Text.assemble(("running", "bold green"), "\n".join(lines)), soft_wrap=True)


def _show_line(line: str) -> None:
    console.print(Text.assemble(("·", "dim"), f" {line}"), soft_wrap=True)


def _stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGINT or SIGTERM sets; the second of them ends this process, and its children with it."""
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            _end_at_once(INTERRUPTED)
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


def _end_at_once(code: int) -> None:
    """End without waiting for threads. The program around each child ends it when our pipe to it closes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
