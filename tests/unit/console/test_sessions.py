"""Sessions, passwords and answers of a moment ago, without HTTP."""

import asyncio
from datetime import UTC, datetime

import pytest

from schemas.control import ConsoleUser
from streams.console.access import sessions as sessions_module
from streams.console.access.passwords import Passwords, TooManyFailuresError
from streams.console.access.rules import FREE_FAILURES
from streams.console.access.sessions import Sessions
from streams.console.recent import Recent


def user(**options):
    values = {"name": "ann", "role": "admin", "password_hash": "h1", "updated_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return ConsoleUser(**{**values, **options})


def test_a_session_is_its_cookie_s_until_it_is_ended():
    users = {"ann": user()}
    sessions = Sessions(users.get, session_seconds=100, idle_seconds=10)
    cookie = sessions.begin(users["ann"], 0)
    assert sessions.begin(users["ann"], 0) != cookie
    found = sessions.find(cookie, 9)
    assert found is not None
    assert found[1].name == "ann"
    assert sessions.find(cookie, 18) is not None, "it was seen nine seconds ago"
    assert sessions.find("another", 18) is None
    sessions.end(cookie)
    assert sessions.find(cookie, 18) is None
    assert cookie not in repr(vars(sessions))


@pytest.mark.parametrize("now", [user(password_hash="h2"), None])
def test_another_password_and_a_removal_end_the_session(now):
    users = {"ann": user()}
    sessions = Sessions(users.get, session_seconds=100, idle_seconds=100)
    cookie = sessions.begin(users["ann"], 0)
    users["ann"] = now
    assert sessions.find(cookie, 1) is None
    users["ann"] = user()
    assert sessions.find(cookie, 1) is None, "it has ended for good"


def test_another_role_counts_at_once():
    users = {"ann": user()}
    sessions = Sessions(users.get, session_seconds=100, idle_seconds=100)
    cookie = sessions.begin(users["ann"], 0)
    users["ann"] = user(role="viewer")
    found = sessions.find(cookie, 1)
    assert found is not None
    assert found[1].role == "viewer"


def test_sessions_are_bounded_and_the_one_seen_longest_ago_ends(monkeypatch):
    monkeypatch.setattr(sessions_module, "MAX_SESSIONS", 2)
    sessions = Sessions({"ann": user()}.get, session_seconds=100, idle_seconds=100)
    first, second = sessions.begin(user(), 0), sessions.begin(user(), 0)
    sessions.find(first, 1)
    third = sessions.begin(user(), 2)
    assert [sessions.find(cookie, 3) is not None for cookie in (first, second, third)] == [True, False, True]


async def test_wrong_passwords_in_a_row_are_not_looked_at_and_a_right_one_forgets_them():
    passwords = Passwords()
    stored = await passwords.hashed("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.is_right("ann", stored, "correct horse battery", 0)
    for _ in range(FREE_FAILURES - 1):
        assert not await passwords.is_right("ann", stored, "wrong", 0)
    assert await passwords.is_right("ann", stored, "correct horse battery", 0)
    for _ in range(FREE_FAILURES):
        assert not await passwords.is_right("ann", stored, "wrong", 0)
    with pytest.raises(TooManyFailuresError):
        await passwords.is_right("ann", stored, "correct horse battery", 0.5)
    assert await passwords.is_right("bob", stored, "correct horse battery", 0.5), "others are not concerned"
    assert await passwords.is_right("ann", stored, "correct horse battery", 1.5)


async def test_many_guesses_at_once_count_each():
    passwords = Passwords()
    stored = await passwords.hashed("correct horse battery")
    guesses = (passwords.is_right("ann", stored, f"guess {number}", 0) for number in range(FREE_FAILURES + 3))
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(answer, TooManyFailuresError) for answer in answers) == 3


async def test_nobody_has_every_password_wrong_even_that_of_the_comparison():
    assert not await Passwords().is_right("nobody", None, "a password that nobody has", 0)


async def test_answers_of_a_moment_ago_are_read_once_and_failures_again():
    recent, reads = Recent(), []

    async def read():
        reads.append(1)
        await asyncio.sleep(0)
        if len(reads) == 1:
            raise LookupError
        return len(reads)

    with pytest.raises(LookupError):
        await recent.get(("a",), read)
    assert await asyncio.gather(recent.get(("a",), read), recent.get(("a",), read)) == [2, 2]
    assert await recent.get(("b",), read) == 3
    recent.forget(("a",))
    assert await asyncio.gather(recent.get(("a",), read), recent.get(("b",), read)) == [4, 3]
    recent.forget()
    assert await recent.get(("a",), read) == 5


async def test_answers_are_kept_no_longer_than_so_many_times_what_reading_took(monkeypatch):
    recent, reads, now = Recent(), [], [0.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])

    async def read():
        reads.append(1)
        now[0] += 3
        return len(reads)

    async def get_at(at, times):
        now[0] = at
        return await recent.get(("a",), read, 60.0, times)

    assert await get_at(0, 2) == 1
    assert await get_at(8, 2) == 1
    assert await get_at(9, 2) == 2
    assert await get_at(18, 100) == 3
    assert await get_at(77, 100) == 3
    assert await get_at(78, None) == 4
    assert await get_at(137, None) == 4


async def test_beyond_so_many_log_ins_at_once_nobody_waits_and_nothing_is_counted(monkeypatch):
    monkeypatch.setattr("streams.console.access.passwords.MAX_WAITING", 3)
    passwords = Passwords()
    asked = [passwords.is_right(f"name{number}", None, "wrong", 1_000.0) for number in range(10)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, TooManyFailuresError) for answer in found] == [False] * 3 + [True] * 7
    assert await passwords.is_right("name9", None, "wrong", 1_000.0) is False, (
        "it was not counted, and there is room again"
    )
