"""A job's page: an edit, a stale one, removal, and what only fits the other kind of job."""

import asyncio

import orjson

from connectors.control.audit import HIDDEN
from connectors.control.jobs import Jobs
from connectors.kafka.producer import AsyncProducer
from tests.deadline import eventually
from tests.integration.console.conftest import ConsoleWorld
from tests.integration.console.test_procedures import add_authorization, jobs_of, read
from tests.page_forms import Browser


async def export_of(world: ConsoleWorld, admin: Browser) -> str:
    """Make an export; return its page's path."""
    name = await add_authorization(admin)
    await admin.open(f"/export?account={name}&list={world.client_id}/{world.list_id}")
    admin.page.form("Start export").fill_in("Name of the job", "VIPs")
    await admin.press("Show plan")
    assert "billable contacts that are added" in admin.page.html, admin.page.alert
    assert await jobs_of(world) == [], "a plan writes nothing"
    await admin.press("Start export")
    assert admin.page.heading == "VIPs", admin.page.alert
    return "/jobs/" + admin.url.rpartition("/")[2]


async def test_a_job_is_edited_planned_compared_and_removed_and_a_stale_edit_is_refused(world: ConsoleWorld) -> None:
    admin = await world.admin()
    path = await export_of(world, admin)
    await admin.open(path + "/edit")
    form = admin.page.form("Save")
    form.fill_in("Removal guard", "lots")
    await admin.press("Save")
    assert (admin.status, "Removal guard: it should be a number." in admin.page.alert) == (422, True)
    form = admin.page.form("Save")
    form.fill_in("Removal guard", "0.5")
    form.fill_in("Audiences", "vip\nnew")
    await admin.press("Save")
    assert (admin.status, admin.page.heading) == (200, "VIPs"), admin.page.alert
    (job,) = await jobs_of(world)
    assert (job.removal_guard, job.audiences, job.name) == (0.5, ["vip", "new"], "VIPs")

    await admin.open(path + "/edit")
    async with AsyncProducer(world.kafka, "test") as producer, Jobs(world.kafka, producer) as jobs:
        await jobs.change(job.id, update_only=True, state="stopped")
    admin.page.form("Save").fill_in("Removal guard", "0.9")
    await admin.press("Save")
    assert admin.status == 409
    assert "update only: false → true" in admin.page.alert.lower()
    (job,) = await jobs_of(world)
    assert (job.removal_guard, job.update_only) == (0.5, True), "nothing was written"
    admin.page.form("Save").check("Update only")
    await admin.press("Save")
    (job,) = await jobs_of(world)
    assert (job.removal_guard, job.update_only, job.state) == (0.9, True, "stopped")

    await admin.open(path)
    assert "removal guard: 0.3 → 0.5" in " ".join(admin.page.html.split())
    for offset, (outcome, reason) in enumerate([("added", None), ("refused", "bounced")]):
        world.receipt(job.id, f"p{offset}@example.com", outcome, reason)
    await admin.open(path)
    await eventually(lambda: _holds(admin, path, "p1@example.com"), every=0.5)
    assert admin.page.html.count("<svg") == 2
    await admin.open(path + "?outcome=refused&reason=bounced")
    assert ("p0@example.com" in admin.page.html, "p1@example.com" in admin.page.html) == (False, True)

    await admin.open(path + "/plan")
    assert "billable contacts that are added" in admin.page.html
    await admin.open(path + "/reconcile")
    assert "0 differ" in admin.page.html
    await admin.open(path)
    await admin.session.get(world.address)  # another request in between changes nothing
    await admin.open(path + "/remove")
    await admin.press("Remove the job")
    assert (admin.page.heading, await jobs_of(world)) == ("Jobs", [])


async def _holds(browser: Browser, path: str, text: str) -> bool:
    await browser.open(path)
    return text in browser.page.html


async def test_what_is_changed_is_recorded_without_secrets(world: ConsoleWorld) -> None:
    admin = await world.admin()
    path = await export_of(world, admin)
    await admin.open(path)
    await admin.press("Stop")
    records = [orjson.loads(record.value) for record in await read(world, "cm_audit")]
    made = [(record["who"], record["via"], record["kind"], record["action"]) for record in records]
    assert made == [
        ("nobody who is logged in", "console", "user", "create"),
        ("ann", "console", "authorization", "create"),
        ("ann", "console", "job", "create"),
        ("ann", "console", "job", "stop"),
    ]
    hidden = {change["field"] for record in records for change in record["changes"] if change.get("after") == HIDDEN}
    assert hidden == {"password_hash", "sealed"}


async def test_an_import_is_estimated_before_it_is_started(world: ConsoleWorld) -> None:
    admin = await world.admin()
    name = await add_authorization(admin)
    await admin.open(f"/import?account={name}&client={world.client_id}")
    await admin.press("Show estimate")
    assert "a full read lasts" in admin.page.html, admin.page.alert
    assert await jobs_of(world) == []
    await admin.press("Start import")
    assert (admin.status, len(await jobs_of(world))) == (200, 1)
    assert "It has not run yet." in admin.page.html


async def test_viewers_see_a_job_and_change_nothing(world: ConsoleWorld) -> None:
    admin = await world.admin()
    path = await export_of(world, admin)
    viewer = await world.another(admin, "vera", "viewer")
    await viewer.open(path)
    assert [button for form in viewer.page.forms for button in form.buttons] == ["Log out"]
    for way in ("edit", "remove", "plan", "reconcile"):
        await viewer.open(f"{path}/{way}")
        assert viewer.status == 403
    pages = [f"{world.address.rstrip('/')}{path}/{change}" for change in ("edit", "remove", "stop", "repair")]
    token = dict(viewer.page.form("Log out").values)
    answers = await asyncio.gather(*(viewer.session.post(page, data=token) for page in pages))
    assert [answer.status for answer in answers] == [403] * 4
    assert len(await jobs_of(world)) == 1
