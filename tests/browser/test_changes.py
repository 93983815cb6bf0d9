"""Pages that change while somebody looks at them: live parts, and a form whose job somebody else has edited."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import BrowserWorld, Filled, Open, screenshot
from tests.integration.console.test_dead_letters import keep
from tests.integration.console.test_live_pages import commit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

LIVE_MILLIS = 15_000
"""For a reading of the brokers, and for one that comes after it."""


async def letters_that_wait(page: Page) -> int:
    """The number that the overview shows."""
    row = page.get_by_role("row", name="dead letters")
    await expect(row).to_contain_text(re.compile(r"\d waits?"), timeout=LIVE_MILLIS)
    return int(re.sub(r"\D", "", await row.inner_text()))


async def test_live_parts_change_while_they_are_shown(world: BrowserWorld, filled: Filled, open_page: Open) -> None:
    overview, lag = await open_page(), await open_page()
    await overview.goto("/overview")
    await lag.goto("/lag")
    before = await letters_that_wait(overview)
    await keep(world, b"{}", reason="at: late")
    row = overview.get_by_role("row", name="dead letters")
    # Not one more: the first count may not have been over when the page was opened.
    await expect(row).not_to_contain_text(f"letters{before} wait", timeout=LIVE_MILLIS)
    assert await letters_that_wait(overview) > before
    group = world.kafka.topic_prefix + "sleeper"
    world.enter("ida@example.com", "sleepers")
    await commit(world, group, 0)
    await expect(lag.get_by_role("row", name=group)).to_contain_text(re.compile(r"[1-9]"), timeout=LIVE_MILLIS)
    assert await violations(overview) == []
    assert await violations(lag) == []


async def test_a_live_part_in_which_somebody_is_stays_as_it_is(world: BrowserWorld, open_page: Open) -> None:
    page, other = await open_page(), await open_page()
    for tab in (page, other):
        await tab.goto("/overview")
    before = await letters_that_wait(page)
    await page.get_by_role("region", name="Flows in numbers").focus()
    await keep(world, b"{}", reason="at: late")
    await expect(other.get_by_role("row", name="dead letters")).to_contain_text(
        f"{before + 1} wait", timeout=LIVE_MILLIS
    )
    assert await letters_that_wait(page) == before
    await expect(page.get_by_role("region", name="Flows in numbers")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("row", name="dead letters")).to_contain_text(
        f"{before + 1} wait", timeout=LIVE_MILLIS
    )


async def test_a_jobs_receipts_are_shown_as_they_come(world: BrowserWorld, filled: Filled, open_page: Open) -> None:
    page = await open_page()
    await page.goto(f"/jobs/{filled.export}?outcome=updated")
    await page.get_by_label("Reason").fill("half a wo")
    receipts = page.get_by_role("region", name="Receipts")
    await expect(receipts).to_contain_text("person-1@example.org")
    world.receipt(filled.export, "late@example.org", "updated", None)
    world.receipt(filled.export, "other@example.org", "added", None)
    await expect(receipts).to_contain_text("late@example.org", timeout=LIVE_MILLIS)
    await expect(receipts).not_to_contain_text("other@example.org")
    await expect(page.get_by_label("Reason")).to_have_value("half a wo")
    assert await violations(page) == []


async def test_a_stale_edit_is_refused_with_what_changed(filled: Filled, open_page: Open) -> None:
    first, second = await open_page(), await open_page()
    for page in (first, second):
        await page.goto(f"/jobs/{filled.export}/edit")
    await first.get_by_label("Name", exact=True).fill("Very important people")
    await first.get_by_label("Existing Users").check()
    await first.get_by_role("button", name="Save").click()
    await expect(first.get_by_role("heading", name="Very important people")).to_be_visible()

    await second.get_by_label("Name", exact=True).fill("VIPs")
    await second.get_by_label("Audiences", exact=True).fill("vip\ngold")
    await second.get_by_role("button", name="Save").click()
    alert = second.get_by_role("alert")
    await expect(alert).to_contain_text("nothing was written")
    await expect(alert).to_contain_text("Very important people")
    await expect(alert).to_contain_text("Existing Users")
    await expect(alert).to_contain_text(re.compile(r"Very important people. \(ann, \d{4}-"))
    await expect(second.get_by_label("Name", exact=True)).to_have_value("VIPs")
    await expect(second.get_by_label("Audiences", exact=True)).to_have_value("vip\ngold")
    assert await violations(second) == []
    await screenshot(second, "a stale edit")
    await first.reload()
    await expect(first.get_by_role("heading", name="Very important people")).to_be_visible()

    await second.get_by_role("button", name="Save").click()
    await expect(second.get_by_role("heading", name="VIPs", exact=True)).to_be_visible()
    newest = second.get_by_role("region", name="History of changes").get_by_role("row").nth(1)
    await expect(newest).to_contain_text('name: "Very important people" → "VIPs"', timeout=1)  # at once
    await newest.scroll_into_view_if_needed()
    await expect(newest).to_be_in_viewport()
    await screenshot(second, "the history after a stale edit")
