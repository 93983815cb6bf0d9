"""Who may do what: each rule as a table."""

import pytest
from pydantic import SecretStr, ValidationError
from yarl import URL

from streams.console.access.rules import (
    FREE_FAILURES,
    MAX_WAIT_SECONDS,
    form_token,
    is_form_token,
    is_from_here,
    is_ours,
    is_over,
    may,
    user_fault,
    wait_seconds,
)
from streams.console.run import shown_lines
from streams.console.settings import ConsoleSettings


@pytest.mark.parametrize(
    ("role", "includes"),
    [("viewer", ["viewer"]), ("operator", ["viewer", "operator"]), ("admin", ["viewer", "operator", "admin"])],
)
def test_a_role_includes_those_below_it(role, includes):
    assert [needed for needed in ("viewer", "operator", "admin") if may(role, needed)] == includes


@pytest.mark.parametrize(
    ("key", "cookie", "given", "is_right"),
    [
        (b"k", "mine", form_token(b"k", "mine"), True),
        (b"k", "other", form_token(b"k", "mine"), False),
        (b"other", "mine", form_token(b"k", "mine"), False),
        (b"k", "", form_token(b"k", ""), False),
        (b"k", "mine", "", False),
        (b"k", "mine", "é", False),
    ],
)
def test_a_form_counts_only_from_the_browser_that_it_was_shown_to(key, cookie, given, is_right):
    assert is_form_token(key, cookie, given) is is_right


@pytest.mark.parametrize(
    ("seen_at", "now", "over"),
    [(0, 9, False), (0, 10, True), (95, 99, False), (95, 100, True), (99, 100, True)],
)
def test_a_session_ends_by_its_age_or_when_nothing_is_done(seen_at, now, over):
    assert is_over(0, seen_at, now, session_seconds=100, idle_seconds=10) is over


@pytest.mark.parametrize(
    ("failures", "now", "wait"),
    [
        (FREE_FAILURES - 1, 0, 0),
        (FREE_FAILURES, 0, 1),
        (FREE_FAILURES, 0.25, 0.75),
        (FREE_FAILURES, 2, 0),
        (FREE_FAILURES + 3, 0, 8),
        (FREE_FAILURES + 40, 0, MAX_WAIT_SECONDS),
        (10**9, 0, MAX_WAIT_SECONDS),
    ],
)
def test_after_failures_nobody_is_looked_at_for_longer_and_longer(failures, now, wait):
    assert wait_seconds(failures, 0, now) == wait


@pytest.mark.parametrize(
    ("host", "address", "ours"),
    [
        ("127.0.0.1:8903", "http://127.0.0.1:8903", True),
        ("localhost:8903", "http://127.0.0.1:8903", True),
        ("127.0.0.1:8904", "http://127.0.0.1:8903", False),
        ("evil.example:8903", "http://127.0.0.1:8903", False),
        ("console.example.com", "https://console.example.com", True),
        ("localhost", "https://console.example.com", False),
        ("", "https://console.example.com", False),
        ("a b:x", "http://127.0.0.1:8903", False),
    ],
)
def test_only_requests_to_our_own_name_are_answered(host, address, ours):
    assert is_ours(host, URL(address)) is ours


@pytest.mark.parametrize(
    ("origin", "address", "is_here"),
    [
        (None, "http://127.0.0.1:8903", True),
        ("http://127.0.0.1:8903", "http://127.0.0.1:8903", True),
        ("http://localhost:8903", "http://127.0.0.1:8903", True),
        ("http://127.0.0.1:8904", "http://127.0.0.1:8903", False),
        ("https://127.0.0.1:8903", "http://127.0.0.1:8903", False),
        ("https://console.example.com", "https://console.example.com", True),
        ("http://console.example.com", "https://console.example.com", False),
        ("https://other.example.com", "https://console.example.com", False),
        ("null", "http://127.0.0.1:8903", False),
        ("", "http://127.0.0.1:8903", False),
        ("http://127.0.0.1:x", "http://127.0.0.1:8903", False),
    ],
)
def test_a_form_is_sent_by_a_page_of_the_console(origin, address, is_here):
    assert is_from_here(origin, URL(address)) is is_here


@pytest.mark.parametrize(
    ("name", "password", "fault"),
    [
        ("ann", "correct horse battery", None),
        ("ann.b-c_1", "correct horse battery", None),
        ("ann@example.com", "correct horse battery", "A user name"),
        ("", "correct horse battery", "A user name"),
        ("Ann", "correct horse battery", "A user name"),
        ("../x", "correct horse battery", "A user name"),
        ("ann", "short", "12 characters"),
        ("ann", "x" * 2000, "12 characters"),
        ("ann", "aaaaaaaaaaaaa", "five different"),
        ("annette", "ANNETTE-ANNETTE", "user's name"),
    ],
)
def test_names_and_passwords_that_are_not_taken(name, password, fault):
    found = user_fault(name, password)
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "http://127.0.0.1:99"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:99"),
        ({"host": "10.0.0.1"}, "http://10.0.0.1:99"),
        ({"public_url": "https://console.example.com/"}, "https://console.example.com"),
    ],
)
def test_the_address_that_browsers_use(settings, address):
    assert ConsoleSettings(_env_file=None, **settings).address(99) == URL(address)


@pytest.mark.parametrize(
    ("token", "is_new", "last"),
    [(None, True, "made-up"), ("set-by-somebody-else", True, "CONSOLE_SETUP_TOKEN"), (None, False, None)],
)
def test_the_set_up_link_is_shown_while_there_is_no_user_and_no_token_that_was_set(token, is_new, last):
    settings = ConsoleSettings(_env_file=None, setup_token=None if token is None else SecretStr(token))
    address, *setup = shown_lines(URL("http://127.0.0.1:1"), token or "made-up", settings, is_new=is_new)
    assert address.split() == ["console", "http://127.0.0.1:1"]
    assert [line.split()[2] for line in setup] == ([] if last is None else [f"http://127.0.0.1:1/setup/{last}"])


def test_a_set_up_token_that_can_be_guessed_is_refused():
    with pytest.raises(ValidationError, match="16 characters"):
        ConsoleSettings(_env_file=None, setup_token=SecretStr("short"))
