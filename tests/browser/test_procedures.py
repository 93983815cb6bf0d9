"""The source document's three procedures, sentence by sentence, as somebody does them in a browser."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import BrowserWorld, Open, add_authorization, screenshot, shows
from tests.deadline import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_an_authorization_an_export_and_an_import(world: BrowserWorld, open_page: Open, scripts: bool) -> None:
    page = await open_page(java_script_enabled=scripts)
    account, into, person = ("Acme", "Newsletter", "eve") if scripts else ("Acme too", "Offers", "fay")
    await add_authorization(page, account)
    await export_with_every_option(world, page, account, into, f"{person}@example.com")
    await import_with_keep_updated(world, page, account, into, f"{person}@example.com")


async def export_with_every_option(world: BrowserWorld, page: Page, account: str, into: str, person: str) -> None:
    """*Export List*, until the person is seen at Campaign Monitor."""
    world.enter(person, "vip", mail=person, full="Eve Example", city="Oslo")
    await page.get_by_role("link", name="Export").click()
    await page.get_by_label("Account").select_option(label=account)
    await page.get_by_role("button", name="Choose account").click()
    await page.get_by_label("List", exact=True).select_option(label=into)
    await expect(page.get_by_text("the same person on two lists is billed twice")).to_be_visible()
    await page.get_by_role("button", name="Choose list").click()
    await eventually(lambda: shows(page, "VIP"), every=0.3)
    await page.get_by_label("VIP").check()
    await page.get_by_text("Show Advanced Options").click()
    for box in ("Existing Users", "Resubscribe Users", "Queue Subscription Based Auto Responders"):
        await page.get_by_label(box).check()
    await page.get_by_label("Email Field").fill("mail")
    await page.get_by_label("Name Field").fill("full")
    mapping = page.get_by_role("group", name="Mapping 1")
    await mapping.get_by_label("User field").fill("city")
    await mapping.get_by_label("Custom field").fill("City")
    await page.get_by_label("Name of the job").fill(f"VIPs to {into}")
    await screenshot(page, "export with every option")
    await page.get_by_role("button", name="Start export").click()
    await expect(page.get_by_role("heading", name=f"VIPs to {into}")).to_be_visible()
    into_id = world.list_ids[into]
    found = await eventually(lambda: world.simulator.controls.subscriber(into_id, person))
    assert found["Name"] == "Eve Example"
    assert {(field["Key"], field["Value"]) for field in found["CustomFields"]} >= {("City", "Oslo")}, found
    await page.reload()
    await screenshot(page, "job of an export")


async def import_with_keep_updated(world: BrowserWorld, page: Page, account: str, into: str, person: str) -> None:
    """*Import List*, until the profile is seen."""
    await page.get_by_role("link", name="Import").click()
    await page.get_by_label("Account").select_option(label=account)
    await page.get_by_role("button", name="Choose account").click()
    await page.get_by_label("Select the Client to Import From").select_option(label="Acme")
    await page.get_by_role("button", name="Choose client").click()
    await page.get_by_label(into).check()
    await page.get_by_text("Show Advanced Options").click()
    await page.get_by_label("Keep Updated").check()
    await page.get_by_label("Name of the job").fill(f"People of {into}")
    await screenshot(page, "import")
    await page.get_by_role("button", name="Start import").click()
    await expect(page.get_by_role("heading", name=f"People of {into}")).to_be_visible()
    profile = await eventually(lambda: world.profile(person), every=0.3)
    assert profile["cm_name"] == "Eve Example"
    assert profile["cm_list_names_status"][into] == "Active"
    await page.reload()
    await screenshot(page, "job of an import")
