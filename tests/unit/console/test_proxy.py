"""Identity from a reverse proxy: whose headers count, what they mean, and the sessions that depend on them."""

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import SecretStr, ValidationError

from streams.console.access.proxy import SECRET_HEADER, TrustedProxy
from streams.console.access.sessions import Sessions
from streams.console.settings import ConsoleSettings

SECRET = "0123456789abcdef"
SET: dict[str, Any] = {
    "proxy_addresses": "10.0.0.0/8, ::1",
    "proxy_secret": SecretStr(SECRET),
    "proxy_user_header": "X-User",
    "proxy_groups_header": "X-Groups",
    "proxy_roles": "staff=viewer, ops=operator,boss=admin",
}
ANN = [("X-User", "Ann"), ("X-Groups", "staff, ops,others"), (SECRET_HEADER, SECRET)]


def proxy(**values: Any) -> TrustedProxy:
    made = ConsoleSettings(_env_file=None, **{**SET, **values}).proxy()
    assert made is not None
    return made


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_it_is_off_by_default() -> None:
    assert ConsoleSettings(_env_file=None).proxy() is None


@pytest.mark.parametrize("peer", ["10.1.2.3", "::1"])
def test_the_highest_role_of_the_groups_counts(peer: str) -> None:
    user = proxy().user_of(peer, headers(*ANN))
    assert user is not None
    assert (user.name, user.role) == ("ann", "operator")


@pytest.mark.parametrize(
    ("peer", "pairs"),
    [
        ("11.0.0.1", ANN),
        (None, ANN),
        ("", ANN),
        ("10.1.2.3", ANN[:2]),
        ("10.1.2.3", [*ANN[:2], (SECRET_HEADER, "wrong")]),
        ("10.1.2.3", [*ANN, (SECRET_HEADER, "wrong")]),
        ("10.1.2.3", ANN[1:]),
        ("10.1.2.3", [("X-User", "root"), *ANN]),
        ("10.1.2.3", [("X-Groups", "boss"), *ANN]),
        ("10.1.2.3", [("X-User", "ann@example.com"), *ANN[1:]]),
        ("10.1.2.3", [ANN[0], ("X-Groups", "others"), ANN[2]]),
        ("10.1.2.3", [ANN[0], ANN[2]]),
    ],
)
def test_headers_of_anybody_else_and_unclear_ones_are_nobody(peer: str | None, pairs: list[tuple[str, str]]) -> None:
    assert proxy().user_of(peer, headers(*pairs)) is None


def test_an_address_alone_or_a_secret_alone_is_enough_when_it_alone_is_set() -> None:
    by_address, by_secret = proxy(proxy_secret=None), proxy(proxy_addresses="")
    assert by_address.user_of("10.1.2.3", headers(*ANN[:2])) is not None
    assert by_address.user_of("11.1.2.3", headers(*ANN)) is None
    assert by_secret.user_of("11.1.2.3", headers(*ANN)) is not None
    assert by_secret.user_of("11.1.2.3", headers(*ANN[:2])) is None


@pytest.mark.parametrize(
    "values",
    [
        {"proxy_addresses": "", "proxy_secret": None},
        {"proxy_addresses": "ten"},
        {"proxy_secret": SecretStr("short")},
        {"proxy_roles": ""},
        {"proxy_roles": "staff=god"},
        {"proxy_groups_header": ""},
    ],
)
def test_settings_that_would_trust_everybody_or_nobody_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConsoleSettings(_env_file=None, **{**SET, **values})


def test_a_session_by_proxy_lets_nobody_in_without_its_headers() -> None:
    ann, bob = (proxy().user_of("::1", headers(("X-User", name), *ANN[1:])) for name in ("ann", "bob"))
    assert ann is not None
    sessions = Sessions({"ann": ann}.get, session_seconds=100, idle_seconds=10)
    for given, found in ((ann, True), (None, False), (bob, False)):
        cookie = sessions.begin(ann, 0, by_proxy=True)
        assert (sessions.find(cookie, 1, given) is not None) is found
    by_password = sessions.begin(ann, 0)
    assert sessions.find(by_password, 1, ann) is None, "another session than that of the password"
    cookie = sessions.begin(ann, 0, by_proxy=True)
    assert sessions.is_open(cookie, 9)
    assert not sessions.is_open(cookie, 10)
    higher = ann.model_copy(update={"role": "admin"})
    found_now = sessions.find(cookie, 5, higher)
    assert found_now is not None
    assert found_now[1].role == "admin", "the role is that of the request"
