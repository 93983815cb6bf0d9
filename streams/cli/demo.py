"""`cm-streams demo`: the demonstration on processes that run already, as in the containers of docker-compose.yml."""

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import typer

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings, Sealer
from connectors.devkit.ports import free_ports
from connectors.devkit.simulator.controls.admin import SimulatorAdmin
from connectors.kafka.settings import KafkaSettings
from streams.cli.control import control, kafka_settings, refusals, refuse
from streams.demo.demonstration import Demonstration
from streams.demo.machine import PORTS_NEEDED, machine

NEXT = """The authorization and the jobs of the demonstration are there. Next:
  cm-streams lag                            in containers: docker compose run --rm tool lag
  cm-streams job list
  cm-streams export plan export-everyone
  cm-streams profile show person1@example.com
"""


def demo(
    play: bool = typer.Option(True, help="Also publish the story, and let people act at Campaign Monitor."),
) -> None:
    """Put the demonstration's authorization and jobs on their topics, play its story, and show what to type next.

    It needs the local Campaign Monitor of CM_BASE_URL with the key of CM_API_KEY, the brokers of
    KAFKA_BOOTSTRAP_SERVERS, and CONTROL_ENCRYPTION_KEY. Where its jobs are there already nothing is done.
    """
    with refusals():
        settings = CampaignMonitorSettings()
        Sealer.from_settings(ControlSettings())
        address = urlsplit(settings.base_url)
        admin_url = f"{address.scheme}://{address.netloc}/simulator"
        asyncio.run(_demonstrate(kafka_settings(), settings.base_url, admin_url, play=play))
    typer.echo(NEXT, nl=False)


async def _demonstrate(kafka: KafkaSettings, base_url: str, admin_url: str, *, play: bool) -> None:
    async with SimulatorAdmin(admin_url) as admin:
        if not await admin.healthy():
            refuse(f"{base_url} is no local Campaign Monitor, and nothing was done: set CM_BASE_URL to one", 78)
        async with control() as (jobs, _authorizations):
            if "export-everyone" in jobs.exports():
                return
        here = machine(
            {**os.environ, "CM_BASE_URL": base_url},
            bootstrap_servers=kafka.bootstrap_servers,
            data_dir=Path(),
            free_ports=free_ports(PORTS_NEEDED),
        )
        demonstration = Demonstration(here, kafka, typer.echo)
        await demonstration.prepare(admin)
        if play:
            await demonstration.play(admin)
