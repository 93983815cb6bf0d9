"""A console with a broker and a Campaign Monitor, and browsers that are logged in to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings, new_key
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from streams.console.run import run
from streams.console.settings import ConsoleSettings
from tests.deadline import eventually
from tests.page_forms import Browser

T = TypeVar("T")

PASSWORD = "correct horse battery"


class ConsoleWorld:
    """What a test needs of it."""

    def __init__(self, kafka: KafkaSettings, simulator: Simulator, path: Path, stack: AsyncExitStack) -> None:
        self.kafka, self.simulator, self.path, self._stack = kafka, simulator, path, stack
        self.client_id = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        self.list_id = simulator.controls.add_list(self.client_id, "Newsletter")
        self.control = ControlSettings(_env_file=None, encryption_key=SecretStr(new_key()))
        self.campaign_monitor = CampaignMonitorSettings(
            base_url=simulator.base_url,
            oauth_url=simulator.oauth_url,
            oauth_client_id=simulator.settings.oauth_client_id,
            oauth_client_secret=SecretStr(simulator.settings.oauth_client_secret),
        )
        self.shown: list[str] = []
        self.producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 0})

    @property
    def address(self) -> str:
        """Where the console is, with a slash at its end."""
        return self.shown[0].split()[1].rstrip("/") + "/"

    @property
    def setup_path(self) -> str:
        """The set-up link's path, as it was printed."""
        return self.shown[1].split()[2].removeprefix(self.address.rstrip("/"))

    def receipt(
        self,
        job_id: str,
        email: str,
        outcome: str,
        reason: str | None,
        latency_ms: int = 40,
        ago: timedelta = timedelta(0),
    ) -> None:
        """Publish a receipt as the export worker does."""
        source = {"topic": "t", "partition": 0, "offset": 1}
        body = {"job_id": job_id, "list_id": self.list_id, "email": email, "outcome": outcome}
        body |= {"at": (datetime.now(UTC) - ago).isoformat(), "latency_ms": latency_ms, "source": source}
        body |= {"reason": reason} if reason else {}
        self.producer.produce(self.kafka.names()["audience-delivery"], orjson.dumps(body), email.encode())
        self.producer.flush()

    async def start(self, **settings: Any) -> None:
        """Run a console with these settings until the end of the test; a second one is the one that is used then."""
        stop = asyncio.Event()
        self.shown.clear()
        running = asyncio.create_task(
            run(
                self.kafka,
                self.campaign_monitor,
                self.control,
                ConsoleSettings(_env_file=None, **{"port": 0, **settings}),
                show=self.shown.append,
                stop=stop,
            )
        )

        async def end() -> None:
            stop.set()
            await running

        self._stack.push_async_callback(end)
        await eventually(lambda: bool(self.shown) or running.done())
        if running.done():
            running.result()

    async def entered(self, context: AbstractAsyncContextManager[T]) -> T:
        """What a context yields, which ends with the test."""
        return await self._stack.enter_async_context(context)

    async def browser(self) -> Browser:
        """A browser that is not logged in."""
        return await self.entered(Browser(self.address))

    async def admin(self) -> Browser:
        """A browser in which the first user was made."""
        browser = await self.browser()
        await browser.open(self.setup_path)
        form = browser.page.form("Make the first user")
        form.fill_in("User name", "ann")
        form.fill_in("Password", PASSWORD)
        await browser.press("Make the first user")
        assert browser.page.heading == "Authorizations", browser.page.html
        return browser

    async def another(self, admin: Browser, name: str, role: str) -> Browser:
        """A browser in which a new user of this role is logged in."""
        await admin.open("/users")
        form = admin.page.form("Add user")
        form.fill_in("User name", name)
        form.fill_in("Password", PASSWORD)
        form.choose("Role", role)
        await admin.press("Add user")
        assert admin.status == 200, admin.page.alert
        browser = await self.browser()
        await browser.log_in(name, PASSWORD)
        return browser


@pytest.fixture
async def world(bootstrap_servers: str, namespace: str, tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    kafka = KafkaSettings(_env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=1)
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(SimulatorSettings()))
        world = ConsoleWorld(kafka, simulator, tmp_path, stack)
        await world.start()
        yield world
