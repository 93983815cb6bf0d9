"""People and mappings on pages: what is known of an address, erasure with its confirmation, a message explained."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from connectors.control.jobs import Jobs
from connectors.kafka.producer import AsyncProducer
from schemas.control import ExportJob
from tests.integration.console.conftest import ConsoleWorld
from tests.integration.console.test_procedures import add_authorization
from tests.kafka_io import read_all
from tests.page_forms import Browser

ANN = "ann@example.org"
OPEN = {
    "schema_version": 1,
    "event_id": "e1",
    "event": "opened",
    "email": ANN,
    "source": "report",
    "at": "2026-01-02T10:00:00.000Z",
    "city": "<b>Berlin</b>",
}


@pytest.fixture
async def profiles(world: ConsoleWorld) -> None:
    """A profile of somebody who opened a mail."""
    topic = world.kafka.names()["cm_profile"]
    profile = {"email": ANN, "city": "<b>Berlin</b>", "cm_openct": 1}
    world.producer.produce(topic, orjson.dumps(profile), ANN.encode())
    world.producer.produce(world.kafka.names()["cm_activity"], orjson.dumps(OPEN), ANN.encode())
    subscriber = {"at": "2026-01-02T10:00:00.000Z", "email": ANN, "status": "active", "client_id": "c1"}
    world.producer.produce(world.kafka.names()["cm_user"], orjson.dumps(subscriber), ANN.encode())
    world.producer.produce(world.kafka.names()["cm_user"], orjson.dumps({"email": ANN}), ANN.encode())
    await asyncio.to_thread(world.producer.flush)


async def test_a_person_is_shown_and_erased_when_the_address_is_confirmed(
    world: ConsoleWorld, profiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await world.admin()
    viewer = await world.another(admin, "vic", "viewer")
    await viewer.open("/people")
    viewer.page.form("Find").fill_in("E-mail address", "nobody@example.org")
    await viewer.press("Find")
    assert "Nothing is known of this address" in viewer.page.html
    await viewer.open("/people?email=Ann@Example.org&field=city")
    assert (viewer.status, viewer.page.heading) == (200, ANN)
    assert viewer.headers["Cache-Control"] == "no-store"
    assert "&lt;b&gt;Berlin" in viewer.page.html
    assert "<b>Berlin" not in viewer.page.html
    assert "cm_activity 0:0" in viewer.page.html.replace(world.kafka.topic_prefix, "")
    for kind in ("cm_activity: opened", "cm_user: active", "cm_user: record"):
        assert kind in viewer.page.html
    assert not any("Erase this person" in form.buttons for form in viewer.page.forms)
    await viewer.open("/people?email=no")
    assert (viewer.status, "no e-mail address" in viewer.page.alert) == (422, True)

    await admin.open(f"/people?email={ANN}")
    admin.page.form("Erase this person").fill_in("Write the address again to confirm", "other@example.org")
    await admin.press("Erase this person")
    assert (admin.status, "Nothing was erased" in admin.page.alert) == (422, True)
    moves = world.kafka.names()["cm_profile_moves"]
    assert await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, moves) == []
    monkeypatch.setattr("streams.control.erasures.ERASE_SECONDS", 0.5)
    admin.page.form("Erase this person").fill_in("Write the address again to confirm", ANN)
    await admin.press("Erase this person")
    assert (admin.status, admin.page.heading) == (202, "Erasure is stored"), "no worker runs"
    assert len(await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, moves)) == 1


async def test_erasing_deletes_from_the_lists_that_are_checked_and_for_operators_only(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.control.erasures.ERASE_SECONDS", 0.2)
    admin = await world.admin()
    now = datetime.now(UTC).replace(microsecond=0)
    job = ExportJob(
        id="export-1",
        authorization_id=await add_authorization(admin),
        client_id=world.client_id,
        list_id=world.list_id,
        created_at=now,
        updated_at=now,
        started_at=now,
    )
    async with AsyncProducer(world.kafka, "test") as producer, Jobs(world.kafka, producer) as jobs:
        await jobs.put(job)
    world.simulator.controls.add_subscriber(world.list_id, ANN)
    viewer, operator = [await world.another(admin, role, role) for role in ("viewer", "operator")]

    async def erase(browser: Browser, list_id: str) -> int:
        await browser.open("/people")
        form = {"form_token": dict(browser.page.form("Log out").values)["form_token"], "email": ANN, "confirm": ANN}
        async with browser.session.post(world.address + "people/erase", data={**form, "list": list_id}) as answer:
            return answer.status

    def state() -> str:
        found = world.simulator.controls.subscriber(world.list_id, ANN)
        return str(found["State"]) if found else "Deleted"

    assert (await erase(viewer, world.list_id), state()) == (403, "Active")
    assert (await erase(operator, "0" * 32), state()) == (404, "Active"), "a list that no job exports to"
    assert (await erase(operator, world.list_id), state()) == (202, "Deleted")


async def test_mappings_are_shown_and_a_pasted_message_is_explained(world: ConsoleWorld) -> None:
    admin = await world.admin()
    await admin.open("/mapping")
    assert "cm_activity.lql" in admin.page.html
    form = admin.page.form("Explain")
    form.choose("Stream", "cm_activity")
    form.fill_in("Message, a JSON object", orjson.dumps(OPEN).decode())
    await admin.press("Explain")
    assert admin.status == 200
    assert "&lt;b&gt;Berlin" in admin.page.html
    assert "<b>Berlin" not in admin.page.html
    admin.page.form("Explain").fill_in("Message, a JSON object", "{")
    await admin.press("Explain")
    assert (admin.status, "no JSON" in admin.page.alert) == (422, True)
    await admin.open("/mapping/rebuild")
    assert (admin.status, "mapping rebuild" in admin.page.alert) == (404, True)
