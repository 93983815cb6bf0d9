"""Dead letters on pages: counted, found, shown, replayed once, discarded with a reason; markup of records is text."""

import asyncio

from structlog.testing import capture_logs

from connectors.control.audit import newest_changes
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from schemas import dead_letter
from tests.integration.console.conftest import ConsoleWorld
from tests.kafka_io import read_all
from tests.page_forms import Browser

MARKUP = "<script>alert(1)</script><b>"


async def keep(world: ConsoleWorld, *values: bytes, reason: str = "at: missing") -> None:
    """Refuse records of audience-membership."""
    topic = world.kafka.names()["audience-membership"]
    letters = [
        dead_letter.letter(
            b"ann@example.org",
            value,
            [("trace", b"7")],
            reason=reason,
            stage=dead_letter.Stage.SCHEMA,
            origin=dead_letter.Origin(topic, 0, number),
            at="2026-01-02T00:00:00.000Z",
            max_bytes=world.kafka.max_produced_bytes,
        )
        for number, value in enumerate(values)
    ]
    async with AsyncProducer(world.kafka, "test") as producer:
        await producer.publish_many(OutgoingRecord(topic + ".dlq", *letter) for letter in letters)


async def sent_again(world: ConsoleWorld, count: int) -> list[bytes]:
    """The values that came to the topic; a transaction is read a moment after its end was answered."""
    topic, servers = world.kafka.names()["audience-membership"], world.kafka.bootstrap_servers
    found = await asyncio.to_thread(lambda: read_all(servers, topic, at_least=count))
    return sorted(record.value or b"" for record in found)


async def found(browser: Browser, **fields: str) -> None:
    """Search on the page."""
    await browser.open("/dead-letters")
    form = browser.page.form("Search")
    for label, value in fields.items():
        form.fill_in({"reason": "Reason contains", "text": "Key, value or reason contains"}.get(label, "Topic"), value)
    await browser.press("Search")


async def test_letters_are_counted_found_and_shown_as_text(world: ConsoleWorld) -> None:
    admin = await world.admin()
    await admin.open("/dead-letters")
    assert "No dead letter waits" in admin.page.html
    await keep(world, b'{"email": "%s"}' % MARKUP.encode(), b"\xff\x00 raw", reason=f"at: {MARKUP}")
    await keep(world, b"{}")
    admin = await world.another(admin, "olga", "operator")
    world_topic = world.kafka.names()["audience-membership"]
    await found(admin, topic=world_topic, text="raw")
    assert (admin.page.heading, "1 to 1 of 1" in admin.page.html) == (f"Dead letters of {world_topic}", True)
    await found(admin, topic=world_topic, reason="script")
    assert "1 to 2 of 2" in admin.page.html
    pages = [admin.page.html]
    await admin.open(admin.page.links["0:0"])
    pages.append(admin.page.html)
    assert "trace" in admin.page.html
    assert "&lt;script&gt;alert(1)" in admin.page.html
    assert "7b 22 65 6d" in admin.page.html, "the bytes"
    await admin.open("/dead-letters/letter?topic=audience-membership&place=0:1")
    assert "ff 00 20" in admin.page.html
    assert admin.headers["Cache-Control"] == "no-store"
    assert not any(MARKUP in page or "<b>" in page for page in pages)
    for path in ("letter?topic=audience-membership&place=0:9", "letter?topic=audience-membership&place=x", "?topic=no"):
        await admin.open(f"/dead-letters/{path}" if path[0] == "l" else f"/dead-letters{path}")
        assert admin.status == 404, path


async def test_letters_are_replayed_once_and_discarded_with_a_reason(world: ConsoleWorld) -> None:
    admin = await world.admin()
    viewer = await world.another(admin, "vic", "viewer")
    await keep(world, b"one", b"two", b"three", b"four")
    path = "/dead-letters?topic=audience-membership"
    await viewer.open(path)
    assert "1 to 4 of 4" in viewer.page.html
    assert not any("Replay chosen" in form.buttons for form in viewer.page.forms)
    await admin.open(path)
    await admin.press("Replay chosen")
    assert (admin.status, "none is chosen" in admin.page.alert) == (422, True)
    admin.page.form("Replay chosen").check("Letter 0:1")
    await admin.press("Replay chosen")
    assert "1 sent again" in admin.page.html
    assert "1 to 3 of 3" in admin.page.html
    assert await sent_again(world, 1) == [b"two"]
    admin.page.form("Discard chosen").check("Letter 0:2")
    await admin.press("Discard chosen")
    assert (admin.status, "Write why" in admin.page.alert) == (422, True)
    form = admin.page.form("Discard chosen")
    form.check("Letter 0:2")
    form.fill_in("Why they are discarded (it is recorded)", "a test of ann@example.org")
    with capture_logs() as logs:
        await admin.press("Discard chosen")
    assert "1 discarded" in admin.page.html
    assert [line["why"] for line in logs if line["event"] == "letters discarded"] == ["a test of (address)"]
    audit = await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, world.kafka.names()["cm_audit"])
    assert b"a test of (address)" in (audit[-1].value or b"")
    await admin.open(path + "&text=one")
    await admin.press("Replay all that are found")
    assert "1 sent again" in admin.page.html
    records = await asyncio.to_thread(lambda: [change.record for change in reversed(newest_changes(world.kafka, 100))])
    actions = [(record.who, record.action) for record in records if record.kind == "dead letters"]
    assert actions == [("ann", "replay"), ("ann", "discard"), ("ann", "replay")]
    assert await sent_again(world, 2) == [b"one", b"two"], "what the search does not find waits"
    await admin.open(path)
    assert "1 to 1 of 1" in admin.page.html
    await admin.open(path + "&done=yes")
    assert "1 to 4 of 4" in admin.page.html
