"""From a log-in to a delivering job, revoked and logged in again: the export process as it is deployed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from yarl import URL

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Tokens
from connectors.control.accounts import AuthorizedApis
from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer, new_key
from connectors.control.jobs import Jobs
from connectors.control.login import begin_login, finish_login
from connectors.kafka.producer import AsyncProducer
from streams.export.settings import ExportSettings
from streams.export.worker import ExportProcess
from streams.process import StreamsSettings
from tests.deadline import eventually
from tests.person import Person

KEY = SecretStr(new_key())


class Deployment:
    """An export process, its control topics, and the settings that all processes share."""

    def __init__(
        self, world: Any, authorizations: Authorizations, jobs: Jobs, settings: CampaignMonitorSettings
    ) -> None:
        self.world, self.authorizations, self.jobs, self.settings = world, authorizations, jobs, settings

    async def log_in(self) -> None:
        """A person logs in, allows access, and comes back."""
        now = self.world.simulator.state.clock.time()
        login = begin_login(self.settings, "main", "Acme Inc.", now)
        async with Person(follow=False) as person, Transport(self.settings) as transport:
            await person.allow(login.address)
            back = URL(person.sent_to).query
            await finish_login(login, back, transport, self.settings, self.authorizations, now)

    def listed(self, email: str) -> bool:
        """Whether a person is on the list."""
        return self.world.simulator.controls.subscriber(self.world.list_id, email) is not None


@asynccontextmanager
async def exporting(world: Any, settings: CampaignMonitorSettings) -> AsyncIterator[ExportProcess]:
    process = ExportProcess(
        StreamsSettings(_env_file=None, data_dir=world.path / "process"),
        world.kafka,
        ExportSettings(_env_file=None, checkpoint_seconds=0.5, probe_seconds=60.0, fields_check_seconds=60.0),
        settings,
        ControlSettings(_env_file=None, encryption_key=KEY),
    )
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


@pytest.fixture
async def deployment(world: Any) -> AsyncIterator[Deployment]:
    simulator = world.simulator
    settings = CampaignMonitorSettings(
        base_url=simulator.base_url,
        oauth_url=simulator.oauth_url,
        oauth_client_id=simulator.settings.oauth_client_id,
        oauth_client_secret=SecretStr(simulator.settings.oauth_client_secret),
    )
    sealer = Sealer.from_settings(ControlSettings(_env_file=None, encryption_key=KEY))
    async with (
        AsyncProducer(world.kafka, "test") as producer,
        Authorizations(world.kafka, producer, sealer) as authorizations,
        Jobs(world.kafka, producer) as jobs,
    ):
        yield Deployment(world, authorizations, jobs, settings)


async def test_a_job_delivers_is_revoked_and_goes_on_at_once_after_another_log_in(deployment: Deployment) -> None:
    world, controls = deployment.world, deployment.world.simulator.controls
    await deployment.log_in()
    world.job(authorization_id="main", existing_users=True)
    async with exporting(world, deployment.settings):
        world.change("ann@example.com", "enter", "vip", 1)
        world.producer.flush()
        await eventually(lambda: deployment.listed("ann@example.com"))

        controls.expire_tokens()  # refreshed by the process, nobody notices
        world.change("bob@example.com", "enter", "vip", 2)
        world.producer.flush()
        await eventually(lambda: deployment.listed("bob@example.com"))
        refreshed = deployment.authorizations.secret("main")
        assert isinstance(refreshed, Tokens)

        controls.revoke_tokens()
        world.change("cem@example.com", "enter", "vip", 3)
        world.producer.flush()
        sentence = "was revoked at Campaign Monitor (code 122): log in again with `cm-streams auth login main`"
        await eventually(lambda: sentence in (deployment.jobs.known("job-1").attention or ""))
        await eventually(lambda: sentence in (deployment.authorizations.known("main").problem or ""))
        assert deployment.authorizations.known("main").state == "needs_attention"

        await deployment.log_in()  # long before the next probe, which is a minute away
        await eventually(lambda: deployment.listed("cem@example.com"), seconds=20)
        await eventually(lambda: deployment.jobs.known("job-1").attention is None)
        assert deployment.authorizations.known("main").state == "ready"


async def test_processes_refresh_once_and_a_rename_meanwhile_loses_no_token(deployment: Deployment) -> None:
    world = deployment.world
    await deployment.log_in()
    world.simulator.controls.expire_tokens()
    before = world.simulator.state.request_log.calls["POST /oauth/token"]
    sealer = Sealer.from_settings(ControlSettings(_env_file=None, encryption_key=KEY))

    async def one_process(producer: AsyncProducer) -> int:
        async with (
            Authorizations(world.kafka, producer, sealer) as authorizations,
            AuthorizedApis(deployment.settings, authorizations) as apis,
        ):
            return len(await (await apis.api("main")).clients.all())

    async with AsyncProducer(world.kafka, "test") as producer:
        counts = await asyncio.gather(
            *(one_process(producer) for _ in range(3)), deployment.authorizations.rename("main", "Acme Ltd.")
        )
        assert counts[:3] == [1, 1, 1]
        assert world.simulator.state.request_log.calls["POST /oauth/token"] - before == 1
        assert deployment.authorizations.known("main").description == "Acme Ltd."
        world.simulator.controls.expire_tokens()
        assert await one_process(producer) == 1, "the tokens that are stored are the newest"
