"""What people do when something is wrong: a revoked authorization, dead letters, a broker that is away."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
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


async def is_answered(page: Page, text: str) -> bool:
    """Whether a page that reads topics has a text; another tab shows it."""
    other = await page.context.new_page()
    await other.goto("/dead-letters")
    found = await other.get_by_text(text).count() > 0
    await other.close()
    return found


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


async def test_pages_while_the_broker_is_away(own_broker: EmbeddedKafka, tmp_path: Path, open_page: Open) -> None:
    """What is in memory is shown; a change ends in a sentence; when the broker is back it is made."""
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=own_broker.bootstrap_servers, partitions=1, delivery_timeout_seconds=2
    )
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(SimulatorSettings()))
        world = ConsoleWorld(kafka, simulator, tmp_path, stack)
        await world.start()
        page = await open_page(cookies=None, base_url=world.address)
        await page.goto(world.setup_path)
        assert await violations(page) == []
        await screenshot(page, "set up")
        await make_first_user(page, world)
        own_broker.pause()
        try:
            await page.goto("/jobs")
            await expect(page.get_by_text("There is no job yet")).to_be_visible()
            await page.goto("/users")
            await eventually(lambda: is_answered(page, "Kafka does not answer"), seconds=60)
            await page.get_by_label("Another password").fill(PASSWORD + "!")
            await page.get_by_role("button", name="Change ann").click()
            await expect(page.get_by_role("heading", name="Kafka does not answer")).to_be_visible()
            await expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
            assert await violations(page) == []
            await screenshot(page, "the broker is away")
        finally:
            own_broker.resume()
        await eventually(lambda: is_answered(page, "No dead letter waits"), seconds=60)
        await page.goto("/users")
        new = page.get_by_role("region", name="New user")
        await new.get_by_label("User name").fill("bob")
        await new.get_by_label("Password").fill(PASSWORD)
        await new.get_by_role("button", name="Add user").click()
        await expect(page.get_by_role("heading", name="bob")).to_be_visible(timeout=20_000)
