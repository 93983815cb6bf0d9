"""Who gets in and who may, as browsers see it: log-in, roles, forms of other sites."""

import pytest
from playwright.async_api import Route, expect

from streams.console.access.rules import may
from streams.console.server import ROUTES
from tests.browser.conftest import BrowserWorld, Filled, Open, log_in, screenshot
from tests.integration.console.conftest import PASSWORD

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


async def add_user(open_page: Open, name: str, role: str) -> None:
    """As admin, at *Users*."""
    page = await open_page()
    await page.goto("/users")
    new = page.get_by_role("region", name="New user")
    await new.get_by_label("User name").fill(name)
    await new.get_by_label("Role").select_option(role)
    await new.get_by_label("Password").fill(PASSWORD)
    await new.get_by_role("button", name="Add user").click()
    await page.get_by_role("heading", name=name).wait_for()


async def test_only_who_knows_the_password_gets_in(open_page: Open) -> None:
    page = await open_page(cookies=None)
    await page.goto("/")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await log_in(page, "ann", "not her password")
    await expect(page.get_by_role("alert")).to_contain_text("The user name or the password is wrong")
    await screenshot(page, "wrong password")
    await log_in(page, "Ann")
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible(), "nothing is kept by the browser"


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_a_role_is_offered_what_it_may_and_refused_the_rest(filled: Filled, open_page: Open, role: str) -> None:
    await add_user(open_page, f"a-{role}", role)
    page = await open_page(cookies=None)
    await log_in(page, f"a-{role}")
    refused = [route for route in ROUTES if route.needs is not None and not may(role, route.needs)]
    for route in refused:
        if route.method == "GET" and "{" not in route.path:
            await page.goto(route.path)
            await expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
            await expect(page.get_by_role("alert")).to_contain_text(f"and a-{role} is {role}")
    await screenshot(page, f"refused to a {role}")
    for path in ("/jobs", f"/jobs/{filled.export}", "/authorizations", f"/authorizations/{filled.authorization}"):
        await page.goto(path)
        links = [await link.get_attribute("href") for link in await page.get_by_role("link").all()]
        forms = [await form.get_attribute("action") for form in await page.locator("form").all()]
        offered = [path for path in (*links, *forms) if path]
        forbidden = {route.path.replace("{id}", filled.export) for route in refused}
        forbidden |= {route.path.replace("{id}", filled.authorization) for route in refused}
        allowed = {route.path for route in ROUTES if route not in refused}
        assert not (forbidden - allowed) & set(offered), path


@pytest.mark.parametrize("site", ["http://elsewhere.example", "http://127.0.0.1:1"])
async def test_a_form_of_another_site_changes_nothing(world: BrowserWorld, open_page: Open, site: str) -> None:
    """The second site is the same to cookies: browsers send them whatever the port."""
    page = await open_page()
    form = f"""<form method=post action="{world.address}users"><input name=name value=mallory>
        <input name=password value="{PASSWORD}"><input name=role value=admin><button>Win</button></form>"""

    async def show(route: Route) -> None:
        await route.fulfill(body=form, content_type="text/html")

    await page.route(f"{site}/", show)
    await page.goto(f"{site}/")
    await page.get_by_role("button", name="Win").click()
    await expect(page.get_by_role("heading", name="This form is too old")).to_be_visible()
    await page.goto("/users")
    await expect(page.get_by_role("heading", name="ann")).to_be_visible()
    await expect(page.get_by_role("heading", name="mallory")).to_have_count(0)


async def test_a_page_at_another_port_that_sets_the_cookie_logs_nobody_in(world: BrowserWorld, open_page: Open) -> None:
    """The cookie, and the form's token that belongs to it, are those that mallory was shown."""
    shown = await open_page(cookies=None)
    await shown.goto("/login")
    token = await shown.locator("form [name=form_token]").get_attribute("value")
    cookies = await shown.context.cookies()
    page = await open_page(cookies=None)
    await page.context.add_cookies(cookies)  # type: ignore[arg-type]  # what was read may be set
    site = "http://127.0.0.1:1"
    form = f"""<form method=post action="{world.address}login"><input name=form_token value={token}>
        <input name=name value=ann><input name=password value="{PASSWORD}"><button>Win</button></form>"""

    async def show(route: Route) -> None:
        await route.fulfill(body=form, content_type="text/html")

    await page.route(f"{site}/", show)
    await page.goto(f"{site}/")
    await page.get_by_role("button", name="Win").click()
    await expect(page.get_by_role("heading", name="This form is another site's")).to_be_visible()
    await page.goto("/jobs")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
