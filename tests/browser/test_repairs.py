"""What people do when something is wrong: a revoked authorization, dead letters, a broker that is away."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from connectors.control.jobs import Jobs
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka import broker_watch
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from tests.browser.accessibility import violations
from tests.browser.conftest import (
    BrowserWorld,
    Filled,
    Open,
    add_authorization,
    allow,
    make_first_user,
    screenshot,
    shows,
)
from tests.deadline import eventually
from tests.integration.console.conftest import PASSWORD, ConsoleWorld
from tests.integration.console.test_dead_letters import keep

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


async def test_a_revoked_authorization_is_repaired_from_its_job(world: BrowserWorld, open_page: Open) -> None:
    page = await open_page()
    await add_authorization(page, "Lost")
    await page.goto("/export")
    await page.get_by_label("Account").select_option(label="Lost")
    await page.get_by_role("button", name="Choose account").click()
    await page.get_by_label("List", exact=True).select_option(label="Lost list")
    await page.get_by_role("button", name="Choose list").click()
    await page.get_by_label("Other audiences, by id or name, one a line").fill("lost")
    await page.get_by_label("Name of the job").fill("Lost people")
    await page.get_by_role("button", name="Start export").click()
    await page.get_by_role("heading", name="Lost people").wait_for()
    job = page.url
    world.simulator.controls.revoke_tokens()
    world.enter("gus@example.com", "lost")
    await eventually(lambda: shows(page, "needs attention"), every=0.3)
    await screenshot(page, "a job whose authorization was revoked")
    await page.get_by_role("link", name="Log in again").click()
    await page.get_by_role("link", name="Log in at Campaign Monitor").click()
    await allow(page)
    await page.get_by_role("heading", name="Lost").wait_for()
    await eventually(lambda: world.simulator.controls.subscriber(world.list_ids["Lost list"], "gus@example.com"))
    await page.goto(job)
    await eventually(lambda: shows(page, "running"), every=0.3)
    assert await page.get_by_role("link", name="Log in again").count() == 0


async def test_dead_letters_are_replayed_and_discarded(world: BrowserWorld, filled: Filled, open_page: Open) -> None:
    page = await open_page()
    await keep(world, b'{"email": "hal@example.org"}', reason="at: it was not there")
    await page.goto("/dead-letters")
    await page.get_by_label("Topic", exact=True).select_option(world.kafka.names()["audience-membership"])
    await page.get_by_label("Key, value or reason contains").fill("hal@example.org")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("1 to 1 of 1")).to_be_visible()
    await page.get_by_role("checkbox", name="Letter").check()
    await screenshot(page, "dead letters")
    await page.get_by_role("button", name="Replay chosen").click()
    await expect(page.get_by_role("status")).to_contain_text("1 sent again")
    await eventually(lambda: shows(page, "1 to 1 of 1"), every=0.3)  # it is as wrong as before, and refused again
    await page.get_by_role("checkbox", name="Letter").check()
    await page.get_by_label("Why they are discarded").fill("a test")
    await page.get_by_role("button", name="Discard chosen").click()
    await expect(page.get_by_role("status")).to_contain_text("1 discarded")
    await expect(page.get_by_text("None", exact=True)).to_be_visible()


IS_OLD = "Kafka does not answer: this is from before"
NO_ANSWER = "This page needs it: look again soon"
AWAY = {
    "/overview": (200, IS_OLD, "behind"),
    "/lag": (200, IS_OLD, "Records that each consumer group has not read"),
    "/dead-letters": (503, NO_ANSWER, "No dead letter waits"),
    "/people?email=ann@example.org": (503, NO_ANSWER, "Nothing is known of this address"),
    "/mapping": (200, "", "Files"),
    "/mapping/rebuild": (503, NO_ANSWER, "Nothing is built to compare with"),
    "/jobs": (200, "", "Away"),
    "/jobs/export-away": (200, "receipts cannot be read now", "There is no receipt of this job yet"),
}
"""Page -> its status while no broker answers, the sentence about it, and what it shows by itself afterwards."""
PAGE_SECONDS = 12.0
"""Without the watch a page that reads waits for 15 s; with the questions of this test it is answered within 2 s. The
rest is for a browser that opens all of them at once on a busy machine."""


async def test_pages_while_the_broker_is_away(
    own_broker: EmbeddedKafka, tmp_path: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory is shown; a change ends in a sentence; pages come back by themselves, and changes are made."""
    monkeypatch.setattr(broker_watch, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(broker_watch, "ANSWER_SECONDS", 1.0)
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=own_broker.bootstrap_servers, partitions=1, delivery_timeout_seconds=2
    )
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(SimulatorSettings()))
        world = ConsoleWorld(kafka, simulator, tmp_path, stack)
        await world.start()
        await make_job(world)
        page = await open_page(cookies=None, base_url=world.address)
        await page.goto(world.setup_path)
        assert await violations(page) == []
        await screenshot(page, "set up")
        await make_first_user(page, world)
        tabs = {path: await page.context.new_page() for path in AWAY}
        watched = await page.context.new_page()
        await watched.goto("/jobs/export-watched")  # of another job: its receipts are kept for a moment
        await page.goto("/users")
        own_broker.pause()
        try:
            await asyncio.gather(*(is_answered(tab, path) for path, tab in tabs.items()))
            await page.get_by_label("Another password").fill(PASSWORD + "!")
            await page.get_by_role("button", name="Change ann").click()
            await expect(page.get_by_role("heading", name="Kafka does not answer")).to_be_visible()
            await expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
            assert await violations(page) == []
            await screenshot(page, "the broker is away")
            assert await violations(tabs["/overview"]) == []
            await screenshot(tabs["/overview"], "overview while the broker is away")
            await expect(watched.get_by_text(IS_OLD)).to_be_visible(timeout=30_000)
        finally:
            own_broker.resume()
        for path, (_status, _sentence, text) in AWAY.items():
            await expect(tabs[path].get_by_text(text).first, path).to_be_visible(timeout=60_000)
            await expect(tabs[path].get_by_text(IS_OLD), path).to_have_count(0, timeout=30_000)
        await expect(watched.get_by_text(IS_OLD)).to_have_count(0, timeout=30_000)
        await page.goto("/users")
        new = page.get_by_role("region", name="New user")
        await new.get_by_label("User name").fill("bob")
        await new.get_by_label("Password").fill(PASSWORD)
        await new.get_by_role("button", name="Add user").click()
        await expect(page.get_by_role("heading", name="bob")).to_be_visible(timeout=20_000)


async def make_job(world: ConsoleWorld) -> None:
    """Write exports that never ran."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    common = {"authorization_id": "a", "client_id": world.client_id, "created_at": now, "updated_at": now}
    common |= {"list_id": world.list_id, "state": "stopped", "started_at": now}
    found = ExportJob(id="export-away", name="Away", **common), ExportJob(id="export-watched", **common)
    async with AsyncProducer(world.kafka, "test") as producer, Jobs(world.kafka, producer) as jobs:
        for job in found:
            await jobs.put(job)


async def is_answered(tab: Page, path: str) -> None:
    """Open a page while no broker answers: it comes soon, with its status and one sentence."""
    status, sentence, _text = AWAY[path]
    begun = time.monotonic()
    answer = await tab.goto(path)
    assert time.monotonic() - begun < PAGE_SECONDS, path
    assert answer is not None
    assert answer.status == status, path
    await expect(tab.get_by_text(sentence or "cm-streams", exact=not sentence), path).to_have_count(1)
