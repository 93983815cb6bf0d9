"""axe-core on every page, light and dark, wide and narrow; and the export by keyboard alone."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import PHONE, BrowserWorld, Filled, Open, screenshot

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

MAX_TABS = 80
FOCUSED = """() => {
    const part = document.activeElement, style = getComputedStyle(part);
    const name = part.labels?.length ? part.labels[0].textContent : part.textContent;
    return [name.trim().replace(/\\\\s+/g, " "), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""


async def test_axe_finds_nothing_on_the_pages_of_a_log_in(world: BrowserWorld, open_page: Open) -> None:
    """Campaign Monitor's, as the simulator has them, and those that a person comes back to."""
    page = await open_page()
    for way in ("Deny", "Allow access"):
        await page.goto("/authorizations/new")
        await page.get_by_role("link", name="Log in at Campaign Monitor").click()
        wrong = []
        if way == "Deny":
            wrong += await violations(page)
            await page.get_by_label("Email or Username").fill("simulator")
            await page.get_by_label("Password").fill("not its password")
            await page.get_by_role("button", name="Log in").click()
            await page.get_by_role("alert").wait_for()
            wrong += await violations(page)
            await screenshot(page, "wrong password at Campaign Monitor")
            await page.get_by_label("Password").fill("simulator-password")
            await page.get_by_role("button", name="Log in").click()
            await page.get_by_role("heading", name="asks for access").wait_for()
            wrong += await violations(page)
            await screenshot(page, "allow access")
        await page.get_by_role("button", name=way).click()
        await page.get_by_text("cm-streams", exact=True).wait_for()
        wrong += await violations(page)
        await screenshot(page, f"back after {way}")
        assert "\n".join(wrong) == ""
    await page.goto(f"{world.simulator.oauth_url}?client_id=wrong")
    await page.get_by_role("heading", name="Cannot connect").wait_for()
    assert await violations(page) == []


async def test_axe_finds_what_is_wrong(open_page: Open) -> None:
    page = await open_page(cookies=None)
    await page.goto("/login")
    await page.evaluate("document.querySelector('label').remove()")
    await page.evaluate("document.querySelector('h1').style = 'width: 900px; color: #555; background: #666'")
    found = "\n".join(await violations(page))
    assert "390 light: label:" in found
    assert "1440 dark: color-contrast:" in found
    assert "390: the page is wider" in found


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this label is focused; each stop on the way shows its focus."""
    seen = []
    for _ in range(MAX_TABS):
        await page.keyboard.press("Tab")
        found, is_visible = await page.evaluate(FOCUSED)
        assert is_visible or not found, f"nobody sees that {found} is focused"
        seen.append(found)
        if found == name:
            return
    raise AssertionError(f"{name} is not reached by Tab: {seen}")


async def test_an_export_is_made_by_keyboard_alone(world: BrowserWorld, filled: Filled, open_page: Open) -> None:
    page = await open_page(viewport=PHONE)
    await page.goto("/jobs")
    await tab_to(page, "Export")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/export")
    await tab_to(page, "Skip to the content")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert (await page.evaluate(FOCUSED))[0] == "Account", "the link leads past the header"
    await page.keyboard.type("Stored key")
    await tab_to(page, "Choose account")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/export?account=*")
    await tab_to(page, "List")
    await page.keyboard.type("Offers")
    await tab_to(page, "Choose list")
    await page.keyboard.press("Space")
    await page.wait_for_url("**list=*")
    await tab_to(page, "Other audiences, by id or name, one a line")
    await page.keyboard.type("nobody")
    await tab_to(page, "Show Advanced Options")
    await page.keyboard.press("Enter")
    for box in ("Existing Users", "Resubscribe Users", "Queue Subscription Based Auto Responders"):
        await tab_to(page, box)
        await page.keyboard.press("Space")
        await expect(page.get_by_label(box)).to_be_checked()
    for field in ("Email Field", "Name Field"):
        await tab_to(page, field)
        await page.keyboard.type("mail")
        await expect(page.get_by_label(field)).to_have_value("mail")
    await tab_to(page, "User field")
    await page.keyboard.type("city")
    await tab_to(page, "Custom field")
    await page.keyboard.type("Town")
    await page.keyboard.press("Escape")
    await tab_to(page, "Type")
    await page.keyboard.type("Number")
    await tab_to(page, "Name of the job")
    await page.keyboard.type("By keyboard")
    await tab_to(page, "Start export")
    await screenshot(page, "export by keyboard on a phone")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="By keyboard")).to_be_visible()
    await expect(page.get_by_text("city → Town (Number)")).to_be_visible()
    await tab_to(page, "Stop")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Start")).to_be_visible()
