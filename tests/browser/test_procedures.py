"""The source document's three procedures, sentence by sentence, as somebody does them in a browser."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import BrowserWorld, Open, screenshot
from tests.deadline import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


async def add_authorization(page: Page, description: str) -> None:
    """*New authorization*, step by step."""
    await page.goto("/")
    await page.get_by_role("link", name="Authorizations").click()
    await page.get_by_role("link", name="Add new authorization").click()
    await page.get_by_role("link", name="Log in at Campaign Monitor").click()
    await allow(page)
    await screenshot(page, "describe the authorization")
    await page.get_by_label("Description").fill(description)
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.get_by_role("heading", name=description)).to_be_visible()


async def allow(page: Page) -> None:
    """At Campaign Monitor: log in where nobody is, and allow access."""
    if await page.get_by_label("Email or Username").count():
        await page.get_by_label("Email or Username").fill("simulator")
        await page.get_by_label("Password").fill("simulator-password")
        await screenshot(page, "log in at campaign monitor")
        await page.get_by_role("button", name="Log in").click()
    await screenshot(page, "allow access")
    await page.get_by_role("button", name="Allow access").click()


async def test_an_authorization_an_export_and_an_import(world: BrowserWorld, open_page: Open) -> None:
    page = await open_page()
    await add_authorization(page, "Acme Inc.")
    await screenshot(page, "authorization")
    await export_with_every_option(world, page)
    await import_with_keep_updated(world, page)


async def export_with_every_option(world: BrowserWorld, page: Page) -> None:
    """*Export List*, until the person is seen at Campaign Monitor."""
    world.enter("eve@example.com", "vip", mail="eve@example.com", full="Eve Example", city="Oslo")
    await page.get_by_role("link", name="Export").click()
    await page.get_by_label("Account").select_option(label="Acme Inc.")
    await page.get_by_role("button", name="Choose account").click()
    await page.get_by_label("List", exact=True).select_option(label="Newsletter")
    await expect(page.get_by_text("the same person on two lists is billed twice")).to_be_visible()
    await page.get_by_role("button", name="Choose list").click()
    await page.get_by_label("VIP").check()
    await page.get_by_text("Show Advanced Options").click()
    for box in ("Existing Users", "Resubscribe Users", "Queue Subscription Based Auto Responders"):
        await page.get_by_label(box).check()
    await page.get_by_label("Email Field").fill("mail")
    await page.get_by_label("Name Field").fill("full")
    mapping = page.get_by_role("group", name="Mapping 1")
    await mapping.get_by_label("User field").fill("city")
    await mapping.get_by_label("Custom field").fill("City")
    await page.get_by_label("Name of the job").fill("VIPs to the newsletter")
    await screenshot(page, "export with every option")
    await page.get_by_role("button", name="Start export").click()
    await expect(page.get_by_role("heading", name="VIPs to the newsletter")).to_be_visible()
    found = await eventually(lambda: world.simulator.controls.subscriber(world.list_id, "eve@example.com"))
    assert found["Name"] == "Eve Example"
    await page.reload()
    await screenshot(page, "job of an export")


async def import_with_keep_updated(world: BrowserWorld, page: Page) -> None:
    """*Import List*, until the profile is seen."""
    await page.get_by_role("link", name="Import").click()
    await page.get_by_label("Account").select_option(label="Acme Inc.")
    await page.get_by_role("button", name="Choose account").click()
    await page.get_by_label("Select the Client to Import From").select_option(label="Acme")
    await page.get_by_role("button", name="Choose client").click()
    await page.get_by_label("Newsletter").check()
    await page.get_by_text("Show Advanced Options").click()
    await page.get_by_label("Keep Updated").check()
    await page.get_by_label("Name of the job").fill("The newsletter's people")
    await screenshot(page, "import")
    await page.get_by_role("button", name="Start import").click()
    await expect(page.get_by_role("heading", name="The newsletter's people")).to_be_visible()
    profile = await eventually(lambda: world.profile("eve@example.com"), every=0.3)
    assert profile["cm_name"] == "Eve Example"
    assert profile["cm_list_names_status"] == {"Newsletter": "Active"}
    await page.reload()
    await screenshot(page, "job of an import")
