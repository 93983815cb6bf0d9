"""The pages on which somebody logs in and allows access, as people see them: headings, labels and buttons."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from yarl import URL

from connectors.devkit.simulator import Simulator, SimulatorSettings
from tests.person import Person

ASKED = {
    "type": "web_server",
    "client_id": "cm-streams",
    "redirect_uri": "http://127.0.0.1:1/back?x=1",
    "scope": "ManageLists,ViewReports",
    "state": "st&te <1>",
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorSettings()) as running:
        yield running


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    async with Person(follow=False) as somebody:
        yield somebody


def page(simulator: Simulator, **changed: str) -> str:
    return f"{simulator.oauth_url}?{urlencode({**ASKED, **changed})}"


@pytest.mark.parametrize("name", ["simulator", "owner@account.example"])
async def test_somebody_logs_in_and_allows_access(simulator: Simulator, person: Person, name: str) -> None:
    shown = await person.open(page(simulator))
    assert (shown.heading, set(shown.labels)) == ("Log in to Campaign Monitor", {"Email or Username", "Password"})
    person.fill_in("Email or Username", name)
    person.fill_in("Password", "simulator-password")
    shown = await person.press("Log in")
    assert shown.heading == "cm-streams asks for access to Simulated account"
    assert set(shown.buttons) == {"Allow access", "Deny"}
    assert "<li>ManageLists</li><li>ViewReports</li>" in shown.html
    await person.press("Allow access")
    back = URL(person.sent_to)
    assert (back.host, back.path, back.query["x"], back.query["state"]) == ("127.0.0.1", "/back", "1", "st&te <1>")
    assert back.query["code"]


async def test_a_wrong_password_ends_in_a_sentence_and_can_be_typed_again(simulator: Simulator, person: Person) -> None:
    await person.open(page(simulator))
    shown = await person.log_in("wrong")
    assert (person.status, shown.alert) == (401, "Your username or password is not right. Please try again.")
    assert "wrong" not in shown.html
    shown = await person.log_in()
    assert "Allow access" in shown.buttons


async def test_access_is_denied(simulator: Simulator, person: Person) -> None:
    await person.open(page(simulator))
    await person.log_in()
    await person.press("Deny")
    assert dict(URL(person.sent_to).query) == {"x": "1", "error": "access_denied", "state": "st&te <1>"}


async def test_nobody_allows_access_without_having_logged_in(simulator: Simulator, person: Person) -> None:
    shown = await person.send(simulator.oauth_url, {**ASKED, "decision": "allow"})
    assert (person.sent_to, shown.alert) == ("", "Please log in first.")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"client_id": "another"}, "unknown_client"),
        ({"redirect_uri": "ftp://127.0.0.1"}, "invalid_redirect_uri"),
        ({"type": "device"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_asked_is_shown(
    simulator: Simulator, person: Person, changed: dict[str, str], problem: str
) -> None:
    shown = await person.open(page(simulator, **changed))
    assert (person.status, shown.heading) == (400, "Cannot connect")
    assert problem in shown.html


@pytest.mark.parametrize("scope", ["", "ManageLists,Fly"])
async def test_an_unknown_permission_goes_back_to_the_application(
    simulator: Simulator, person: Person, scope: str
) -> None:
    await person.open(page(simulator, scope=scope))
    assert URL(person.sent_to).query["error"] == "unknown_scope"
