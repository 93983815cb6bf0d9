"""The source document's procedures on the pages: a new authorization, an export until it delivers, an import."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from yarl import URL

from connectors.control.jobs import Jobs
from schemas.control import ExportJob, FieldMapping, ImportJob
from streams.export.settings import ExportSettings
from streams.export.worker import ExportProcess
from streams.process import StreamsSettings
from tests.deadline import eventually
from tests.integration.console.conftest import ConsoleWorld
from tests.kafka_io import read_all
from tests.page_forms import Browser
from tests.person import Person


async def allow(browser: Browser) -> None:
    """Go to Campaign Monitor, log in, allow access, and come back in the browser."""
    async with Person(follow=False) as person:
        await person.allow(browser.page.links["Log in at Campaign Monitor"])
        assert URL(person.sent_to).path == "/authorized"
        await browser.open(person.sent_to)


async def add_authorization(browser: Browser, description: str = "Acme Inc.") -> str:
    """Add one as the source document has it; return its id."""
    await browser.open("/authorizations")
    await browser.open(browser.page.links["Add new authorization"])
    await allow(browser)
    assert browser.page.heading == "Describe the authorization"
    browser.page.form("Authorize").fill_in("Description", description)
    await browser.press("Authorize")
    assert (browser.status, browser.page.heading) == (200, description)
    return browser.url.rpartition("/")[2]


async def read(world: ConsoleWorld, role: str) -> list[Any]:
    """Every record of a topic."""
    return await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, world.kafka.names()[role])


async def jobs_of(world: ConsoleWorld) -> list[ExportJob | ImportJob]:
    """The jobs on the topic."""
    async with Jobs(world.kafka) as jobs:
        return list(jobs.all().values())


@pytest.fixture
async def exporting(world: ConsoleWorld) -> AsyncIterator[None]:
    process = ExportProcess(
        StreamsSettings(_env_file=None, data_dir=world.path / "process"),
        world.kafka,
        ExportSettings(_env_file=None, checkpoint_seconds=0.5),
        world.campaign_monitor,
        world.control,
    )
    await process.start()
    yield
    await process.stop()


async def test_a_new_authorization_by_log_in_and_allow_is_stored_when_it_is_described(world: ConsoleWorld) -> None:
    admin = await world.admin()
    await admin.open("/authorizations/new")
    assert "ImportSubscribers" in admin.page.html
    await allow(admin)
    assert await read(world, "cm_authorizations") == [], "nothing is stored before Authorize"
    admin.page.form("Authorize").fill_in("Description", " ")
    await admin.press("Authorize")
    assert "description is needed" in admin.page.alert
    admin.page.form("Authorize").fill_in("Description", "Acme <Inc.>")
    await admin.press("Authorize")
    assert admin.page.heading == "Acme <Inc.>"
    tokens = {*world.simulator.state.keyring.tokens, *world.simulator.state.keyring.refresh_tokens}
    records = f"{await read(world, 'cm_authorizations')}{admin.page.html}"
    assert tokens
    assert not [token for token in tokens if token in records]

    admin.page.form("Rename").fill_in("Description", "Acme Ltd.")
    await admin.press("Rename")
    await admin.open(admin.page.links["Log in again"])
    await allow(admin)
    assert admin.page.heading == "Acme Ltd.", "the description stays"
    await admin.press("Remove")
    assert "There is no authorization yet" in admin.page.html


async def test_every_other_end_of_a_log_in_is_a_sentence_and_stores_nothing(world: ConsoleWorld) -> None:
    admin = await world.admin()
    await admin.open("/authorized?code=c&state=s")
    assert admin.page.heading == "Not this log-in"
    await admin.open("/authorizations/new")
    page = admin.page.links["Log in at Campaign Monitor"]
    await admin.open("/authorized?code=c&state=another")
    assert admin.page.heading == "Not this log-in"
    async with Person(follow=False) as person:
        await person.open(page)
        await person.log_in("wrong")
        await person.log_in()
        await person.press("Deny")
        await admin.open(person.sent_to)
    assert (admin.page.heading, "Access was denied" in admin.page.alert) == ("No access", True)
    await admin.open(person.sent_to)
    assert admin.page.heading == "Not this log-in", "it is answered once"
    other = await world.another(admin, "bob", "admin")
    await admin.open("/authorizations/new")
    async with Person(follow=False) as person:
        await person.allow(admin.page.links["Log in at Campaign Monitor"])
        await other.open(person.sent_to)
    assert other.page.heading == "Not this log-in", "it belongs to another session"
    assert await read(world, "cm_authorizations") == []


async def test_an_answer_that_comes_several_times_at_once_is_used_once(world: ConsoleWorld) -> None:
    admin = await world.admin()
    await admin.open("/authorizations/new")
    address = URL(admin.page.links["Log in at Campaign Monitor"])
    assert address.query["redirect_uri"] == f"{world.address}authorized"
    async with Person(follow=False) as person:
        await person.open(str(address.update_query(redirect_uri="http://elsewhere.example/authorized")))
        assert "code=" not in person.sent_to, "another address gets no code"
    async with Person(follow=False) as person:
        await person.allow(str(address))

    async def answered() -> int:
        async with admin.session.get(person.sent_to, allow_redirects=False) as answer:
            return answer.status

    assert sorted(await asyncio.gather(*(answered() for _ in range(4)))) == [303, 400, 400, 400]
    assert world.simulator.state.request_log.calls["POST /oauth/token"] == 1, "a code that comes twice may be revoked"
    await admin.open("/authorizations/describe")
    assert admin.page.heading == "Describe the authorization"


@pytest.mark.usefixtures("exporting")
async def test_an_export_with_every_option_delivers_until_it_is_stopped(world: ConsoleWorld) -> None:
    event = {"email": "ann@example.com", "change": "enter", "audience": {"id": "vip", "name": "VIP"}}
    body = {**event, "at": "2026-01-02T00:00:00Z", "user": {"mail": "ann@example.com", "full": "Ann", "city": "Oslo"}}
    topic = world.kafka.names()["audience-membership"]
    world.producer.produce(topic, orjson.dumps(body), b"ann@example.com")
    world.producer.flush()
    await eventually(lambda: read(world, "cm_memberships-changelog"), every=0.5)

    admin = await world.admin()
    name = await add_authorization(admin)
    operator = await world.another(admin, "olga", "operator")
    await operator.open("/export")
    operator.page.form("Choose account").choose("Account", "Acme Inc.")
    await operator.press("Choose account")
    assert "the same person on two lists is billed twice" in operator.page.html
    operator.page.form("Choose list").choose("List", "Newsletter")
    await operator.press("Choose list")
    form = operator.page.form("Start export")
    assert "Show Advanced Options" in operator.page.html
    form.check("VIP 1 person")
    for box in ("Existing Users", "Resubscribe Users", "Queue Subscription Based Auto Responders"):
        form.check(box)
    form.fill_in("Email Field", "mail")
    form.fill_in("Name Field", "full")
    form.fill_in("Name of the job", "VIPs")
    row = {"user_field": "city", "custom_field": "", "data_type": "Text"}
    form.values = [(field, value) for field, value in form.values if field not in row] + list(row.items())
    await operator.press("Start export")
    assert (operator.status, operator.page.alert.strip()) == (
        422,
        "Field Mappings city: both sides of a row are needed.",
    )
    form = operator.page.form("Start export")
    form.values = [(field, value) for field, value in form.values if field not in row]
    form.values += list({**row, "custom_field": "City"}.items())
    await operator.press("Start export")
    assert (operator.status, operator.page.heading) == (200, "VIPs"), operator.page.alert
    job_url = operator.url
    (job,) = await jobs_of(world)
    assert isinstance(job, ExportJob)
    assert (job.authorization_id, job.client_id, job.list_id) == (name, world.client_id, world.list_id)
    assert (job.audiences, job.email_field, job.name_field) == (["vip"], "mail", "full")
    assert job.existing_users
    assert job.resubscribe_users
    assert job.queue_autoresponders
    assert job.field_mappings == [FieldMapping(user_field="city", custom_field="City", data_type="Text")]

    found = await eventually(lambda: world.simulator.controls.subscriber(world.list_id, "ann@example.com"))
    assert found["Name"] == "Ann"

    await admin.open(f"/authorizations/{name}")
    await admin.press("Remove")
    assert (admin.status, job.id in admin.page.alert) == (409, True)
    await operator.open(job_url)
    await operator.press("Stop")
    assert "stopped" in operator.page.html
    assert "Start" in operator.page.form("Start").buttons


async def test_a_form_that_is_sent_twice_makes_one_job_and_a_wrong_list_is_named(world: ConsoleWorld) -> None:
    admin = await world.admin()
    name = await add_authorization(admin)
    await admin.open(f"/export?account={name}&list={world.client_id}/{world.list_id}")
    sent = admin.page.form("Start export").values
    for _ in range(2):
        async with admin.session.post(f"{world.address}export", data=sent) as answer:
            assert answer.status == 200
    assert len(await jobs_of(world)) == 1
    wrong = [(field, f"{world.client_id}/nowhere" if field == "list" else value) for field, value in sent]
    wrong = [(field, "export-00000000" if field == "job_id" else value) for field, value in wrong]
    async with admin.session.post(f"{world.address}export", data=wrong) as answer:
        assert (answer.status, "has no such list" in await answer.text()) == (422, True)
    assert len(await jobs_of(world)) == 1


async def test_an_import_is_started_with_keep_updated(world: ConsoleWorld) -> None:
    admin = await world.admin()
    name = await add_authorization(admin)
    await admin.open("/import")
    admin.page.form("Choose account").choose("Account", "Acme Inc.")
    await admin.press("Choose account")
    admin.page.form("Choose client").choose("Select the Client to Import From", "Acme")
    await admin.press("Choose client")
    form = admin.page.form("Start import")
    form.check("Newsletter")
    form.check("Keep Updated")
    form.fill_in("Seconds between the starts of two runs", "1")
    await admin.press("Start import")
    assert (admin.status, "Seconds between the starts of two runs 1:" in admin.page.alert) == (422, True)
    admin.page.form("Start import").fill_in("Seconds between the starts of two runs", "60")
    await admin.press("Start import")
    assert admin.status == 200, admin.page.alert
    (job,) = await jobs_of(world)
    assert isinstance(job, ImportJob)
    assert (job.authorization_id, job.client_id, job.lists) == (name, world.client_id, [world.list_id])
    assert (job.keep_updated, job.interval_seconds, job.state) == (True, 60, "running")
