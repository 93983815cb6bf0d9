"""Overview and lag: what needs attention, flows in numbers, live parts that end with the session, a broker away."""

import asyncio
from datetime import UTC, datetime

import pytest

from connectors.control.jobs import Jobs
from connectors.kafka.producer import AsyncProducer
from schemas.control import ExportJob
from streams.console.live import collector
from tests.integration.console.conftest import ConsoleWorld
from tests.integration.console.test_dead_letters import keep
from tests.integration.console.test_procedures import add_authorization
from tests.page_forms import Browser


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "READ_SECONDS", 0.3)
    monkeypatch.setattr(collector, "COUNT_SECONDS", 0.3)


async def shows(browser: Browser, path: str, text: str) -> None:
    """Open a page until it shows a text."""
    for _ in range(100):
        await browser.open(path)
        if text in browser.page.html:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(browser.page.html)


async def commit(world: ConsoleWorld, group: str, offset: int) -> None:
    """Have a group be at an offset of audience-membership."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": world.kafka.bootstrap_servers, "group.id": group})
    place = TopicPartition(world.kafka.names()["audience-membership"], 0, offset)
    await asyncio.to_thread(consumer.commit, offsets=[place], asynchronous=False)
    await asyncio.to_thread(consumer.close)


async def test_overview_and_lag_show_what_waits_and_repair_it_with_one_click(world: ConsoleWorld) -> None:
    admin = await world.admin()
    account = await add_authorization(admin)
    now = datetime.now(UTC).replace(microsecond=0)
    job = ExportJob(
        id="export-1",
        name="News <b>",
        authorization_id=account,
        client_id=world.client_id,
        list_id=world.list_id,
        created_at=now,
        updated_at=now,
        started_at=now,
    )
    async with AsyncProducer(world.kafka, "test") as producer, Jobs(world.kafka, producer) as jobs:
        await jobs.put(job)
        await jobs.set_attention("export", "export-1", "confirm <i>12</i> removals")
    topic, group = world.kafka.names()["audience-membership"], world.kafka.topic_prefix + "worker"
    for number in range(5):
        world.producer.produce(topic, b"%d" % number, b"ann@example.org")
    await asyncio.to_thread(world.producer.flush)
    await commit(world, group, 2)
    await keep(world, b"one", b"two")

    viewer = await world.another(admin, "vic", "viewer")
    await shows(viewer, "/overview", "3 behind")
    assert "oldest waits" in viewer.page.html
    await shows(viewer, "/overview", f"2 dead letters of {topic} wait")
    assert "This needs the role operator" in viewer.page.html
    assert "confirm &lt;i&gt;12&lt;/i&gt; removals" in viewer.page.html
    assert "News &lt;b&gt;" in viewer.page.html
    assert "needs attention" in viewer.page.html
    await viewer.open("/lag")
    assert "<polyline" in viewer.page.html
    await viewer.open(viewer.page.links[topic])
    assert (viewer.page.heading, "nobody" in viewer.page.html) == (f"Lag of {group} in {topic}", True)

    await shows(admin, "/overview", f"Replay all of {topic}")
    await admin.press(f"Replay all of {topic}")
    assert "2 sent again" in admin.page.html
    await shows(admin, "/overview", "5 behind")
    await viewer.open("/style.css")
    assert ".flows" in viewer.page.html
    assert ":root" in viewer.page.html
    await viewer.open("/lag?group=no&topic=such")
    assert viewer.status == 404


async def test_a_live_part_is_sent_after_each_reading_until_the_session_ends(world: ConsoleWorld) -> None:
    admin = await world.admin()
    viewer = await world.another(admin, "vic", "viewer")
    url = world.address + "overview/live"
    async with viewer.session.get(url) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        lines = [await response.content.readline() for _ in range(3)]
        assert all(line.startswith(b"data: ") for line in lines)
        await admin.open("/users")
        await admin.press("Remove vic")
        async with asyncio.timeout(30):  # the session is looked at after the next reading, five seconds on
            rest = await response.content.read()
    assert rest.count(b"\n\n") < 10
    await viewer.open("/overview/live")
    assert viewer.page.heading == "Log in"


async def test_a_job_is_sent_with_its_receipts_as_they_come_until_it_is_removed(world: ConsoleWorld) -> None:
    admin = await world.admin()
    now = datetime.now(UTC)
    common = {"client_id": world.client_id, "authorization_id": "a", "created_at": now, "updated_at": now}
    job = ExportJob(id="export-1", list_id=world.list_id, started_at=now, **common)
    world.receipt(job.id, "first@example.org", "added", None)
    async with AsyncProducer(world.kafka, "test") as producer, Jobs(world.kafka, producer) as jobs:
        await jobs.put(job)
        await shows(admin, "/jobs/export-1", "first@example.org")
        async with admin.session.get(world.address + "jobs/export-1/live?outcome=added") as response:

            async def until(text: str) -> None:
                async with asyncio.timeout(30):
                    while text.encode() not in await response.content.readline():
                        pass

            await until("first@example.org")
            world.receipt(job.id, "second@example.org", "updated", None)
            world.receipt("another", "third@example.org", "added", None)
            world.receipt(job.id, "fourth@example.org", "added", None)
            await until("fourth@example.org")
            await jobs.set_attention("export", job.id, "confirm <i>12</i> removals")
            await until("confirm &lt;i&gt;12")
            await jobs.remove(job.id)
            async with asyncio.timeout(30):
                rest = await response.content.read()
    assert b"second@" not in rest
    assert b"third@" not in rest
    await admin.open("/jobs/export-1/live")
    assert admin.status == 404
