"""The source document's three procedures, sentence by sentence, as somebody does them in a browser."""

import re

import pytest
from aiohttp import BasicAuth, ClientSession
from playwright.async_api import Page, expect

from tests.browser.conftest import BrowserWorld, Open, add_authorization, screenshot, shows
from tests.deadline import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


EXPORT_BOXES = {
    "Existing Users": "people who already are in the selected audiences",
    "Resubscribe Users": "people who have previously been deleted or unsubscribed from the list",
    "Queue Subscription Based Auto Responders": "workflow e-mails that are based on the subscription date.*"
    "does not send them by default when subscribers are imported",
}
"""Checkbox -> what the source document says that it is for."""


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_an_authorization_an_export_and_an_import(world: BrowserWorld, open_page: Open, scripts: bool) -> None:
    page = await open_page(java_script_enabled=scripts)
    account, into, person = ("Acme", "Newsletter", "eve") if scripts else ("Acme too", "Offers", "fay")
    await add_authorization(page, account)
    await export_with_every_option(world, page, account, into, f"{person}@example.com")
    await import_with_keep_updated(world, page, account, into, f"{person}@example.com")


async def says(page: Page, label: str, help_text: str) -> None:
    """Hold what the page says of an input, as assistive technology reads it, against the source document."""
    await expect(page.get_by_label(label, exact=True)).to_have_accessible_description(re.compile(help_text))


async def titles_of_segments(world: BrowserWorld, list_id: str) -> list[str]:
    """Return the titles of a list's segments at Campaign Monitor."""
    url = f"{world.simulator.base_url}/lists/{list_id}/segments.json"
    key = BasicAuth(world.simulator.settings.api_key, "x")
    async with ClientSession() as session, session.get(url, auth=key) as answer:
        return [segment["Title"] for segment in await answer.json()]


async def export_with_every_option(world: BrowserWorld, page: Page, account: str, into: str, person: str) -> None:
    """*Export List*, until the person is seen at Campaign Monitor. Numbers are those of the document's steps."""
    world.enter(person, "vip", mail=person, full="Eve Example", city="Oslo")
    await page.get_by_role("link", name="Export").click()
    await says(page, "Account", "Campaign Monitor account to export to")  # 1
    await page.get_by_label("Account").select_option(label=account)
    await page.get_by_role("button", name="Choose account").click()
    await says(page, "List", "list to which audience members are sent.*same person on two lists is billed twice")  # 2
    await page.get_by_label("List", exact=True).select_option(label=into)
    await page.get_by_role("button", name="Choose list").click()
    audiences = page.get_by_role("group", name="Audiences", exact=True)
    await expect(audiences).to_contain_text("contain the people to keep in sync")  # 3
    await expect(audiences).to_contain_text("Each gets a segment within the list")
    await eventually(lambda: shows(page, "VIP"), every=0.3)
    await page.get_by_label("VIP").check()
    await page.get_by_text("Show Advanced Options").click()  # 4
    for box, text in EXPORT_BOXES.items():  # 5 to 7
        await says(page, box, text)
        await page.get_by_label(box).check()
    await says(page, "Email Field", "name of the user field that contains the e-mail address")  # 8
    await page.get_by_label("Email Field").fill("mail")
    await says(page, "Name Field", "name of the user field that contains the full name")  # 9
    await page.get_by_label("Name Field").fill("full")
    mappings = page.get_by_role("group", name="Field Mappings")  # 10
    await expect(mappings).to_contain_text("Map user fields to custom fields of the selected list")
    offered = page.locator("#user-fields option")
    assert {"mail", "full", "city"} <= {await option.get_attribute("value") for option in await offered.all()}
    mapping = page.get_by_role("group", name="Mapping 1")
    await mapping.get_by_label("User field").fill("city")
    await mapping.get_by_label("Custom field").fill("City")
    await page.get_by_label("On last exit").select_option("unsubscribe")
    await page.get_by_label("Name of the job").fill(f"VIPs to {into}")
    await screenshot(page, "export with every option")
    await page.get_by_role("button", name="Start export").click()  # 11
    await expect(page.get_by_role("heading", name=f"VIPs to {into}")).to_be_visible()
    await expect(page.locator("dl div", has_text="On last exit")).to_contain_text("unsubscribe")
    into_id = world.list_ids[into]
    found = await eventually(lambda: world.simulator.controls.subscriber(into_id, person))
    assert found["Name"] == "Eve Example"
    fields = {(field["Key"], field["Value"]) for field in found["CustomFields"]}
    assert fields >= {("City", "Oslo"), ("Lytics Audiences", "VIP")}, found
    await eventually(lambda: titles_of_segments(world, into_id))  # 3: a segment for each selected audience
    assert await titles_of_segments(world, into_id) == ["VIP"]
    await page.reload()
    await screenshot(page, "job of an export")


async def import_with_keep_updated(world: BrowserWorld, page: Page, account: str, into: str, person: str) -> None:
    """*Import List*, until the profile is seen. Numbers are those of the document's steps."""
    await page.get_by_role("link", name="Import").click()
    await page.get_by_label("Account").select_option(label=account)
    await page.get_by_role("button", name="Choose account").click()
    await says(page, "Select the Client to Import From", "client to import lists from")  # 1
    await page.get_by_label("Select the Client to Import From").select_option(label="Acme")
    await page.get_by_role("button", name="Choose client").click()
    lists = page.get_by_role("group", name="Lists to Import")  # 2
    await expect(lists).to_contain_text("Only users, campaigns and activity associated with the selected lists")
    await expect(lists).to_contain_text("None selected: all lists are imported")
    await page.get_by_label(into).check()
    await page.get_by_text("Show Advanced Options").click()  # 3
    await says(page, "Keep Updated", "Run this import continuously")  # 4
    await page.get_by_label("Keep Updated").check()
    await page.get_by_label("spam").uncheck()
    await page.get_by_label("How far back").fill("2026-01-02")
    await page.get_by_label("Name of the job").fill(f"People of {into}")
    await screenshot(page, "import")
    await page.get_by_role("button", name="Start import").click()  # 5
    await expect(page.get_by_role("heading", name=f"People of {into}")).to_be_visible()
    await expect(page.locator("dl div", has_text="How far back")).to_contain_text("2026-01-02 00:00:00 UTC")
    await expect(page.locator("dl div", has_text="Activity to import")).to_contain_text("unsubscribe, bounce")
    await expect(page.locator("dl div", has_text="Activity to import")).not_to_contain_text("spam")
    profile = await eventually(lambda: world.profile(person), every=0.3)
    assert profile["cm_name"] == "Eve Example"
    assert profile["cm_list_names_status"][into] == "Active"
    await page.reload()
    await screenshot(page, "job of an import")
