"""A Chromium, and one world for it: a broker, a Campaign Monitor, all workers and a console, for all tests here."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from confluent_kafka.admin import AdminClient, NewTopic
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from pydantic import SecretStr

from connectors.campaign_monitor.errors.verdicts import NotFound
from connectors.control.authorizations import Authorizations
from connectors.control.crypto import Sealer
from connectors.control.jobs import Jobs
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.importer.run import run as run_connector
from connectors.importer.settings import ImporterSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, ImportJob
from streams.console.live import collector
from streams.export.lists.attention import REMOVALS
from streams.export.rules.outcome import classify
from streams.export.settings import ExportSettings
from streams.export.worker import ExportProcess
from streams.process import StreamsSettings
from streams.profile.rebuild import Rebuild
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker
from tests.browser.accessibility import WIDE, note_templates, violations
from tests.browser.chromium import NoChromiumError, chromium
from tests.integration.console.conftest import PASSWORD, ConsoleWorld
from tests.integration.console.test_dead_letters import keep
from tests.integration.console.test_people_and_mapping import ANN, OPEN

SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
ACTION_SECONDS = 20.0
"""A step of a person that is not possible by then has failed."""

OUTCOMES = (("added", None), ("updated", None), ("refused", "bounced"), ("added", None))

Open = Callable[..., Coroutine[Any, Any, Page]]


class BrowserWorld(ConsoleWorld):
    """A console's world with the workers that its jobs need."""

    list_ids: dict[str, str]
    """By name."""

    async def start_workers(self) -> None:
        """Run the export worker, the profile worker and the connector until the end."""
        streams = StreamsSettings(_env_file=None, data_dir=self.path / "process")
        export = ExportSettings(_env_file=None, checkpoint_seconds=0.5)
        exporting = ExportProcess(streams, self.kafka, export, self.campaign_monitor, self.control)
        await exporting.start()
        self._stack.push_async_callback(exporting.stop)
        profile = ProfileSettings(_env_file=None, api_token=SecretStr(PASSWORD))
        self.profiles = ProfileWorker(streams, self.kafka, profile)
        await self.profiles.start()
        self._stack.push_async_callback(self.profiles.stop)
        stop = asyncio.Event()
        settings = ImporterSettings(_env_file=None, schedule_seconds=0.2, recipients_after_seconds=0)
        connector = asyncio.create_task(
            run_connector(self.kafka, self.campaign_monitor, self.control, settings, stop=stop)
        )

        async def end() -> None:
            stop.set()
            await connector

        self._stack.push_async_callback(end)

    def enter(self, email: str, audience: str, **fields: str) -> None:
        """Publish that a person entered an audience."""
        event = {
            "email": email,
            "change": "enter",
            "audience": {"id": audience, "name": audience.upper()},
            "at": datetime.now(UTC).isoformat(),
            "user": {"email": email, **fields},
        }
        self.producer.produce(self.kafka.names()["audience-membership"], orjson.dumps(event), email.encode())
        self.producer.flush()

    async def rebuilt(self, profile: dict[str, Any]) -> None:
        """Have one profile be what a rebuild has built."""
        topic = Rebuild(StreamsSettings(_env_file=None), self.kafka, ProfileSettings(_env_file=None)).shadow
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        await asyncio.to_thread(admin.create_topics([NewTopic(topic, 1, 1)])[topic].result)
        self.producer.produce(topic, orjson.dumps(profile), profile["email"].encode())
        self.producer.flush()

    async def profile(self, email: str) -> dict[str, Any] | None:
        """Ask the profile worker for somebody."""
        url = f"{self.profiles.app.faust.conf.canonical_url}/profiles/{email}"
        headers = {"Authorization": f"Bearer {PASSWORD}"}
        async with ClientSession() as session, session.get(url, headers=headers) as answer:
            found: dict[str, Any] | None = await answer.json() if answer.status == 200 else None
            return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    try:
        found = await asyncio.to_thread(chromium)
    except NoChromiumError as fault:
        pytest.skip(str(fault))
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=found.program, env={**os.environ, **found.environment}
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(
    browser: Browser, bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BrowserWorld]:
    """Everything that `make run` starts but for webhooks, in this process, under topics of its own."""
    prefix = f"t{uuid4().hex[:10]}-"
    kafka = KafkaSettings(_env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=prefix, partitions=1)
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    async with AsyncExitStack() as stack:
        often = stack.enter_context(pytest.MonkeyPatch.context())
        often.setattr(collector, "READ_SECONDS", 0.5)
        often.setattr(collector, "COUNT_SECONDS", 0.5)
        note_templates(often)
        simulator = await stack.enter_async_context(Simulator(SimulatorSettings()))
        world = BrowserWorld(kafka, simulator, tmp_path_factory.mktemp("browser"), stack)
        offers = simulator.controls.add_list(world.client_id, "Offers")
        lost = simulator.controls.add_list(world.client_id, "Lost list")
        slow = simulator.controls.add_list(world.client_id, "Slow list")
        world.list_ids = {"Newsletter": world.list_id, "Offers": offers, "Lost list": lost, "Slow list": slow}
        await asyncio.gather(world.start(), world.start_workers())
        yield world


class Filled(NamedTuple):
    """Ids of what was there before a test came."""

    authorization: str
    export: str
    imports: str
    running: str
    """An import that is kept updated."""
    unfinished: str
    """An import whose run goes on: of its list one state cannot be read."""
    guarded: str
    """An export that waits for somebody to confirm its removals."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def filled(world: BrowserWorld) -> Filled:
    """An authorization, exports that need a person, imports in each state, and dead letters."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    common = {"authorization_id": "stored", "client_id": world.client_id, "created_at": now, "updated_at": now}
    export = ExportJob(
        id="export-filled", list_id=world.list_id, audiences=["vip"], state="stopped", started_at=now, **common
    )
    imports = ImportJob(id="import-filled", name="Everybody", state="stopped", **common)
    running = ImportJob(id="import-running", name="Kept updated", keep_updated=True, lists=[world.list_id], **common)
    slow = world.list_ids["Slow list"]
    world.simulator.controls.inject(kind="status", status=503, path=f"/lists/{slow}/unsubscribed", count=None)
    unfinished = ImportJob(id="import-unfinished", name="Slow", lists=[slow], **common)
    offers = world.list_ids["Offers"]
    guarded = ExportJob(
        id="export-guarded", list_id=offers, audiences=["vip"], state="stopped", started_at=now, **common
    )
    async with (
        AsyncProducer(world.kafka, "test") as producer,
        Authorizations(world.kafka, producer, Sealer.from_settings(world.control)) as authorizations,
        Jobs(world.kafka, producer) as jobs,
    ):
        await authorizations.put("stored", SecretStr(world.simulator.settings.api_key), description="Stored key")
        for job in (export, imports, running, unfinished, guarded):
            await jobs.put(job)
        await jobs.set_attention("export", guarded.id, f"12 of 20 people would leave: {REMOVALS}")
        await jobs.set_attention("export", export.id, classify(NotFound(101, "list"), 1, 0.0).why)
    await keep(world, b'{"email": "ann@example.org"}', b"\xff\x00")
    for number in range(60):
        outcome, reason = OUTCOMES[number % len(OUTCOMES)]
        ago = timedelta(minutes=50 - number**2 % 50)
        world.receipt(export.id, f"person-{number}@example.org", outcome, reason, 40 + number**3 % 2000, ago)
    world.producer.produce(world.kafka.names()["cm_activity"], orjson.dumps(OPEN), ANN.encode())
    profile = {"email": ANN, "city": "Berlin", "cm_openct": 1}
    world.producer.produce(world.kafka.names()["cm_profile"], orjson.dumps(profile), ANN.encode())
    await world.rebuilt(profile | {"city": "Hamburg"})
    world.enter(ANN, "gold", city="Berlin")
    return Filled("stored", export.id, imports.id, running.id, unfinished.id, guarded.id)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def admin_cookies(browser: Browser, world: BrowserWorld) -> Any:
    """The cookies of the first user, who was made by the set-up link."""
    context = await browser.new_context(base_url=world.address)
    page = await context.new_page()
    await page.goto(world.setup_path)
    assert await violations(page) == []
    await make_first_user(page, world)
    cookies = await context.storage_state()
    await context.close()
    return cookies


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, world: BrowserWorld, admin_cookies: Any) -> AsyncIterator[Open]:
    """Call it for a page of a new browser: the admin's, or with `cookies=None` nobody's. Options are playwright's."""
    contexts: list[BrowserContext] = []

    async def opened(cookies: Any = admin_cookies, **options: Any) -> Page:
        context = await browser.new_context(
            **{"base_url": world.address, "storage_state": cookies, "viewport": WIDE, **options}
        )
        context.set_default_timeout(ACTION_SECONDS * 1000)
        contexts.append(context)
        return await context.new_page()

    yield opened
    for context in contexts:
        await context.close()


async def make_first_user(page: Page, world: ConsoleWorld) -> None:
    """Open the set-up link, and fill in its form."""
    await page.goto(world.setup_path)
    await page.get_by_label("User name").fill("ann")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the first user").click()
    await page.get_by_role("heading", name="Authorizations").wait_for()


async def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Log in at the console."""
    await page.goto("/login")
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def allow(page: Page) -> None:
    """At Campaign Monitor: log in where nobody is, and allow access."""
    if await page.get_by_label("Email or Username").count():
        await page.get_by_label("Email or Username").fill("simulator")
        await page.get_by_label("Password").fill("simulator-password")
        await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("button", name="Allow access").click()


async def add_authorization(page: Page, description: str) -> None:
    """*New authorization*, step by step."""
    await page.goto("/")
    await page.get_by_role("link", name="Authorizations").click()
    await page.get_by_role("link", name="Add new authorization").click()
    await page.get_by_role("link", name="Log in at Campaign Monitor").click()
    await allow(page)
    await page.get_by_label("Description").fill(description)
    await page.get_by_role("button", name="Authorize").click()
    await page.get_by_role("heading", name=description).wait_for()


async def shows(page: Page, text: str) -> bool:
    """Whether the page has a text after it was loaded again."""
    await page.reload()
    return await page.get_by_text(text).count() > 0


async def screenshot(page: Page, name: str) -> None:
    """Keep what the page shows."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
    await page.screenshot(path=path, full_page=True)
