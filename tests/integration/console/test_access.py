"""Who gets in, and what each may: set-up link, log-in, roles, form tokens, headers."""

import asyncio

import aiohttp
import pytest

from streams.console.access.rules import FREE_FAILURES, may
from streams.console.api.entry import FORM_TOKEN
from streams.console.server import ROUTES
from tests.integration.console.conftest import PASSWORD, ConsoleWorld
from tests.kafka_io import read_all


async def test_set_up_once_then_log_in_and_out(world: ConsoleWorld) -> None:
    stranger = await world.browser()
    await stranger.open("/jobs")
    assert (stranger.page.heading, stranger.url.endswith("/login")) == ("Log in", True)
    assert "set-up link" in stranger.page.html
    await stranger.open("/setup/wrong")
    assert stranger.status == 404

    admin = await world.admin()
    assert "Users" in admin.page.links
    await stranger.open(world.setup_path)
    assert stranger.status == 404, "the link is used up"

    await stranger.log_in("ann", "wrong password")
    assert (stranger.status, stranger.page.alert.strip()) == (403, "The user name or the password is wrong.")
    before = {cookie.value for cookie in stranger.session.cookie_jar}
    await stranger.log_in("Ann", PASSWORD)
    assert stranger.page.heading == "Jobs"
    after = {cookie.value for cookie in stranger.session.cookie_jar}
    assert before
    assert not before & after, "another session than before"
    (cookie,) = stranger.session.cookie_jar
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    kept = cookie.value
    await stranger.press("Log out")
    assert stranger.page.heading == "Log in"
    assert await _status_with(world, cookie.key, kept) == 303, "the session has ended, not only the browser's cookie"

    topic = world.kafka.names()["cm_console_users"]
    records = f"{await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, topic)}"
    assert "$argon2id$" in records
    assert PASSWORD not in records
    assert admin.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in admin.headers["Content-Security-Policy"]


async def test_who_logs_in_once_more_ends_the_session_before(world: ConsoleWorld) -> None:
    await world.admin()
    browser = await world.browser()
    await browser.log_in("ann", PASSWORD)
    (first,) = browser.session.cookie_jar
    assert await _status_with(world, first.key, first.value) == 200
    token = dict(browser.page.form("Log out").values)["form_token"]
    async with browser.session.post(
        world.address + "login", data={"form_token": token, "name": "ann", "password": PASSWORD}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
    (second,) = browser.session.cookie_jar
    assert second.value != first.value
    assert await _status_with(world, second.key, second.value) == 200
    assert await _status_with(world, first.key, first.value) == 303


async def _status_with(world: ConsoleWorld, name: str, cookie: str) -> int:
    """Ask for a page with nothing but a cookie."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
        client.get(world.address + "jobs", cookies={name: cookie}, allow_redirects=False) as answer,
    ):
        return answer.status


async def test_wrong_passwords_are_slowed_down(world: ConsoleWorld) -> None:
    await world.admin()
    stranger = await world.browser()
    for _ in range(FREE_FAILURES + 4):
        await stranger.log_in("ann", "wrong password")
    assert stranger.status == 429
    await stranger.log_in("ann", PASSWORD)
    assert "Too many wrong passwords" in stranger.page.alert


async def test_each_route_refuses_strangers_lower_roles_and_forms_without_their_token(world: ConsoleWorld) -> None:
    admin = await world.admin()
    browsers = {
        "viewer": await world.another(admin, "vic", "viewer"),
        "operator": await world.another(admin, "olga", "operator"),
        "admin": admin,
    }
    tokens = {}
    for role, browser in browsers.items():
        await browser.open("/jobs")
        tokens[role] = dict(browser.page.form("Log out").values)["form_token"]
    stranger = await world.browser()
    await stranger.open("/login")
    foreign = dict(stranger.page.form("Log in").values)["form_token"]
    # Log out comes last: it ends the session that is tried.
    for route in sorted(ROUTES, key=lambda route: route.path == "/logout"):
        url = world.address + route.path.lstrip("/").replace("{id}", "nothing").replace("{token}", "wrong")
        if route.needs is None and route.method == "GET":
            continue
        if route.needs is not None:
            async with stranger.session.request(
                route.method,
                url,
                data={"form_token": foreign} if route.method == "POST" else None,
                allow_redirects=False,
            ) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/login"), route
        for role, browser in browsers.items():
            if route.method == "POST":
                for wrong in ({}, {"form_token": foreign}):
                    async with browser.session.post(url, data=wrong, allow_redirects=False) as answer:
                        assert (answer.status, "too old" in await answer.text()) == (403, True), route
            if route.needs is not None and not may(role, route.needs):
                sent = {"form_token": tokens[role]} if route.method == "POST" else None
                async with browser.session.request(route.method, url, data=sent, allow_redirects=False) as answer:
                    assert (answer.status, "This needs the role" in await answer.text()) == (403, True), route


async def test_users_are_changed_and_the_last_admin_stays(world: ConsoleWorld) -> None:
    admin = await world.admin()
    viewer = await world.another(admin, "vic", "viewer")
    await admin.open("/users")
    await admin.press("Remove ann")
    assert (admin.status, "Nobody would be admin" in admin.page.alert) == (409, True)
    admin.page.form("Change vic").fill_in("Role", "operator")
    await admin.press("Change vic")
    await viewer.open("/export")
    assert (viewer.status, viewer.page.heading) == (200, "Export"), "another role counts at once"
    admin.page.form("Add user").fill_in("User name", "vic")
    admin.page.form("Add user").fill_in("Password", PASSWORD)
    await admin.press("Add user")
    assert "There is a user vic already" in admin.page.alert
    await admin.press("Remove vic")
    await viewer.open("/jobs")
    assert viewer.page.heading == "Log in", "the session has ended"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1"])
async def test_requests_to_another_name_are_not_answered(world: ConsoleWorld, host: str) -> None:
    stranger = await world.browser()
    async with stranger.session.get(world.address + "login", headers={"Host": host}) as answer:
        assert answer.status == 421


async def test_a_form_that_comes_without_the_cookie_gets_none(world: ConsoleWorld) -> None:
    """Another site's: browsers send it without the session's cookie, and would replace that by the one they get."""
    stranger = await world.browser()
    async with stranger.session.post(world.address + "login", data={"name": "ann"}, allow_redirects=False) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)


async def test_nobody_is_logged_in_by_a_form_of_another_page_whose_token_and_cookie_belong_together(
    world: ConsoleWorld,
) -> None:
    """A page at another port sets the cookie that it was shown a form with: the browser sends both."""
    await world.admin()
    mallory = await world.browser()
    await mallory.open("/login")
    assert mallory.headers["Referrer-Policy"] == "same-origin", "with no-referrer browsers send no Origin"
    token = dict(mallory.page.form("Log in").values)["form_token"]
    form = {"form_token": token, "name": "ann", "password": PASSWORD}
    for origin in ("http://127.0.0.1:1", "null", "http://elsewhere.example"):
        async with mallory.session.post(
            world.address + "login", data=form, headers={"Origin": origin}, allow_redirects=False
        ) as answer:
            assert (answer.status, "another site" in await answer.text()) == (403, True), origin
    own = {"Origin": world.address.rstrip("/")}
    async with mallory.session.post(world.address + "login", data=form, headers=own, allow_redirects=False) as answer:
        assert answer.status == 303


async def test_a_proxy_s_headers_log_in_and_anybody_else_s_do_not(world: ConsoleWorld) -> None:
    """The same headers at three consoles: one that trusts nobody, one another address, one this one."""
    ann = {"X-User": "ann", "X-Groups": "ops"}
    named = {"proxy_user_header": "X-User", "proxy_groups_header": "X-Groups", "proxy_roles": "ops=operator"}
    for settings in ({}, {**named, "proxy_addresses": "192.0.2.1"}):
        if settings:
            await world.start(**settings)
        stranger = await world.browser()
        async with stranger.session.get(world.address + "jobs", headers=ann, allow_redirects=False) as answer:
            assert answer.status == 303
        async with stranger.session.get(world.address + "api/v1/me", headers=ann) as answer:
            assert answer.status == 401
    await world.start(**named, proxy_addresses="127.0.0.1")
    browser = await world.browser()
    jobs, me, users = (world.address + path for path in ("jobs", "api/v1/me", "users"))
    async with browser.session.get(jobs, headers=ann) as answer:
        assert answer.status == 200
    async with browser.session.get(users, headers=ann) as answer:
        assert (answer.status, "This needs the role admin" in await answer.text()) == (403, True)
    async with browser.session.get(jobs, allow_redirects=False) as answer:
        assert answer.status == 303, "the cookie lets nobody in without the headers"
    async with browser.session.get(jobs, headers=ann) as answer:
        assert answer.status == 200
    async with browser.session.get(me, headers=ann) as answer:
        found = await answer.json()
        assert (found["name"], found["role"], bool(found["form_token"])) == ("ann", "operator", True)
    replay = world.address + "api/v1/dead-letters/cm_user/replay"
    for given, status in (({}, 403), ({FORM_TOKEN: found["form_token"]}, 200)):
        async with browser.session.post(replay, json={}, headers={**ann, **given}) as answer:
            assert answer.status == status, "a change needs the form's token"
    fresh = await world.browser()
    async with fresh.session.post(replay, json={}, headers={**ann, FORM_TOKEN: found["form_token"]}) as answer:
        assert answer.status == 403, "of another session"
