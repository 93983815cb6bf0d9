"""`cm-streams up`: everything on one machine, with a demonstration."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from connectors.devkit.embedded_kafka.artifacts import BrokerUnavailableError
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.embedded_kafka.launch import free_ports
from connectors.devkit.simulator.controls.admin import SimulatorAdmin
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from streams.demo.demonstration import Demonstration
from streams.demo.findings import as_table, verdict
from streams.demo.supervisor import PORTS_NEEDED, PROCESSES, Machine, ServiceFailedError, Supervisor, machine
from streams.process import StreamsSettings, start_process

console = Console()


def up(
    once: bool = typer.Option(False, "--once", help="Play the demonstration to its end, check it, and exit 0 or 1."),
) -> None:
    """Start a broker, a local Campaign Monitor and all processes; play a demonstration; Ctrl-C stops everything.

    With KAFKA_BOOTSTRAP_SERVERS that broker is used, with CM_BASE_URL that Campaign Monitor, without a demonstration.
    """
    settings = start_process("up", log_level="warning")
    try:
        code = asyncio.run(_up(settings, once=once))
    except (ServiceFailedError, BrokerUnavailableError, TimeoutError) as failure:
        console.print(f"[bold red]{failure}[/]", highlight=False)
        code = 1
    raise typer.Exit(code)


async def _up(settings: StreamsSettings, *, once: bool) -> int:
    began = time.monotonic()
    run_dir = (settings.data_dir / "up").absolute()
    shutil.rmtree(run_dir, ignore_errors=True)  # each start plays its story from the beginning
    stopped = _stopped_by_signal()
    async with contextlib.AsyncExitStack() as stack:
        kafka = KafkaSettings()
        if not kafka.bootstrap_servers:
            broker = await stack.enter_async_context(EmbeddedKafka(run_dir / "kafka", progress=_show_line))
            kafka = kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        here = machine(
            os.environ, bootstrap_servers=kafka.bootstrap_servers, data_dir=run_dir, free_ports=free_ports(PORTS_NEEDED)
        )
        await asyncio.to_thread(ensure_topics, kafka, create=True)
        supervisor = Supervisor(run_dir / "logs")
        stack.push_async_callback(supervisor.stop)
        demonstration = Demonstration(here, kafka, _show_line) if here.simulated else None
        admin = await stack.enter_async_context(SimulatorAdmin(here.simulator_admin_url))
        if demonstration:
            await supervisor.start(here.simulator())
            await demonstration.prepare(admin)
        await supervisor.start(*(here.service(name) for name in PROCESSES))
        _where_to_look(here, supervisor, time.monotonic() - began)
        work: asyncio.Future[int] = asyncio.create_task(_play(demonstration, admin, once=once))
        stop: asyncio.Future[bool] = asyncio.create_task(stopped.wait())
        ends: set[asyncio.Future[Any]] = {stop, supervisor.failed}
        try:
            await asyncio.wait({work, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if supervisor.failed.done():
                supervisor.failed.result()
            if once and work.done():
                return work.result()
            if work.done():
                work.result()
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            _show_line("stopping")
            return 130 if once else 0
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)


async def _play(demonstration: Demonstration | None, admin: SimulatorAdmin, *, once: bool) -> int:
    if demonstration is None:
        _show_line("running against the Campaign Monitor that CM_BASE_URL names; no demonstration is played")
        return 0
    await demonstration.play(admin)
    found = await demonstration.findings(admin)
    console.print(as_table(found))
    if not once:
        _show_line("the demonstration is over; everything keeps running. Ctrl-C stops it.")
    return verdict(found)


def _where_to_look(here: Machine, supervisor: Supervisor, seconds: float) -> None:
    ports = here.ports
    lines = [
        f"[bold green]running[/] after {seconds:.1f} s",
        f"  Kafka              {here.bootstrap_servers}",
        f"  Campaign Monitor   {here.base_url}"
        + ("  (local, its pages: OAuth " + here.oauth_url + ")" if here.simulated else ""),
        f"  webhooks           http://127.0.0.1:{ports.webhooks}",
        f"  profiles           http://127.0.0.1:{ports.profiles}/profiles/EMAIL  (with the token, see README)",
        *(f"  {name:<18} http://127.0.0.1:{port}/ready, /metrics" for name, port in ports.health.items()),
        f"  logs               {_relative(supervisor.log_file('*'))}",
        f"  lag                KAFKA_BOOTSTRAP_SERVERS={here.bootstrap_servers} .venv/bin/cm-streams lag",
    ]
    console.print("\n".join(lines), highlight=False)


def _relative(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _show_line(line: str) -> None:
    console.print(f"[dim]·[/] {line}", highlight=False)


def _stopped_by_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped
