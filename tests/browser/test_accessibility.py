"""axe-core on every page, light and dark, wide and narrow; and the export by keyboard alone."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import orjson
import pytest
from playwright.async_api import Page, expect

from streams.console.server import ROUTES
from streams.export.settings import ExportSettings
from tests.browser.accessibility import PHONE, not_reached, violations
from tests.browser.conftest import BrowserWorld, Filled, Open, screenshot
from tests.deadline import eventually
from tests.integration.console.test_people_and_mapping import ANN, OPEN

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

MAX_TABS = 80
FOCUSED = """() => {
    const part = document.activeElement, style = getComputedStyle(part);
    const name = part.labels?.length ? part.labels[0].textContent : part.textContent;
    return [name.trim().replace(/\\\\s+/g, " "), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""


def addresses(world: BrowserWorld, filled: Filled) -> Iterator[str]:
    """Every page by the application's routes, those of things once for each thing, and states of some.

    Addresses of live parts are no pages: pages ask for them.
    """
    ids = {
        "/jobs": [filled.export, filled.imports],
        "/authorizations": [filled.authorization],
        "/setup": ["wrong"],
    }
    yield from (f"/jobs/{job}" for job in (filled.running, filled.unfinished))
    for route in ROUTES:
        if route.method == "GET" and not route.path.endswith("/live"):
            start, brace, _rest = route.path.partition("/{")
            for found in ids[start] if brace else [""]:
                yield route.path.replace("{id}", found).replace("{token}", found)
    topic, place = quote(world.kafka.names()["audience-membership"]), quote("0:0")
    yield f"/export?account={filled.authorization}&list={world.client_id}/{world.list_id}"
    yield f"/import?account={filled.authorization}&client={world.client_id}"
    yield f"/people?email={ANN}"
    yield f"/people?email={ANN}&field=city"
    yield "/people?email=nobody@example.org"
    yield f"/jobs/{filled.export}?outcome=refused"
    yield lag_of_a_topic(world)
    yield f"/dead-letters?topic={topic}"
    yield f"/dead-letters/letter?topic={topic}&place={place}"
    yield "/nothing"


def lag_of_a_topic(world: BrowserWorld) -> str:
    """The address of the lag by partition."""
    group = quote(world.kafka.topic_prefix + ExportSettings(_env_file=None).app_id)
    return f"/lag?group={group}&topic={quote(world.kafka.names()['audience-membership'])}"


async def shows_region(page: Page, name: str) -> bool:
    """Whether the page has a region of this name after it was loaded again."""
    await page.reload()
    return await page.get_by_role("region", name=name, exact=True).count() > 0


def shown_path(address: str, world: BrowserWorld) -> str:
    """The address without what differs between two runs."""
    for value, name in ((world.kafka.topic_prefix, ""), (world.client_id, "client"), (world.list_id, "list")):
        address = address.replace(value, name)
    return address


async def test_axe_finds_nothing_on_any_page(world: BrowserWorld, filled: Filled, open_page: Open) -> None:
    """Every page that an address or a form leads to, or a log-in passes; and none was left out."""
    stranger = await open_page(cookies=None)
    await stranger.goto("/login")
    wrong = await violations(stranger)
    left = [*dict.fromkeys(addresses(world, filled))]
    ready = await open_page()
    for address, text in (
        (f"/jobs/{filled.running}", "Runs"),
        (f"/jobs/{filled.unfinished}", "Runs"),
        (lag_of_a_topic(world), "Lag by partition"),
    ):
        await ready.goto(address)
        await eventually(lambda text=text: shows_region(ready, text), every=0.3)

    async def look() -> None:
        page = await open_page()
        while left:
            address = left.pop()
            await page.goto(address)
            wrong.extend(await violations(page))
            name = f"page {shown_path(address, world)}"
            await screenshot(page, name)
            await page.set_viewport_size(PHONE)
            await page.emulate_media(color_scheme="dark")
            await screenshot(page, f"{name} on a phone in the dark")

    others = look_at_log_in(await open_page()), look_at_forms(await open_page(), world, filled)
    _, _, *found = await asyncio.gather(look(), look(), *others)
    wrong += [line for lines in found for line in lines or ()]
    assert not wrong, "\n".join(wrong)
    assert not not_reached(), "axe was never on pages of these templates"


async def look_at_log_in(page: Page) -> list[str]:
    """Campaign Monitor's pages, as the simulator has them, and those that a person comes back to."""
    wrong = []
    for way in ("Deny", "Allow access"):
        await page.goto("/authorizations/new")
        await page.get_by_role("link", name="Log in at Campaign Monitor").click()
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
    return wrong


async def look_at_forms(page: Page, world: BrowserWorld, filled: Filled) -> list[str]:
    """What forms lead to."""
    await page.goto("/mapping")
    await page.get_by_label("Stream", exact=True).select_option("cm_activity")
    await page.get_by_label("Message, a JSON object").fill(orjson.dumps(OPEN).decode())
    await page.get_by_role("button", name="Explain").click()
    await page.get_by_role("region", name="What each mapping makes of the message").wait_for()
    wrong = await violations(page)
    await screenshot(page, "a message explained")
    await page.goto(f"/export?account={filled.authorization}&list={world.client_id}/{world.list_id}")
    await page.get_by_role("button", name="Show plan").click()
    await page.get_by_role("heading", name="Plan").wait_for()
    wrong += await violations(page)
    await screenshot(page, "a plan before the start")
    await page.get_by_label("User field").first.fill("city")
    await page.get_by_role("button", name="Start export").click()
    await page.get_by_role("alert").wait_for()
    wrong += await violations(page)
    await screenshot(page, "an export that is not complete")
    await page.goto(f"/import?account={filled.authorization}&client={world.client_id}")
    await page.get_by_role("button", name="Show estimate").click()
    await page.get_by_role("heading", name="Estimate").wait_for()
    wrong += await violations(page)
    await screenshot(page, "an estimate before the start")
    await page.goto(f"/jobs/{filled.guarded}")
    wrong += await violations(page)
    await screenshot(page, "removals that wait")
    await page.get_by_role("button", name="Confirm the removals").click()
    await page.get_by_role("heading", name="Confirmed").wait_for()
    wrong += await violations(page)
    return wrong


async def test_axe_finds_nothing_where_campaign_monitor_refuses(world: BrowserWorld, open_page: Open) -> None:
    page = await open_page()
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
