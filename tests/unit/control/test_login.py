"""The rules of a log-in: whose answer counts, and the sentence that each end has."""

import pytest
from pydantic import SecretStr
from yarl import URL

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.login import (
    LOGIN_SECONDS,
    ForeignAnswerError,
    LoginError,
    PendingLogin,
    begin_login,
    read_answer,
    refusal_sentence,
)
from streams.cli.login import loopback

SETTINGS = CampaignMonitorSettings(oauth_client_id="app", oauth_client_secret=SecretStr("canary-secret"))


def begun() -> PendingLogin:
    return begin_login(SETTINGS, "main", "Acme Inc.", now=1000.0)


def state_of(login: PendingLogin) -> str:
    return login.state.get_secret_value()


def test_each_log_in_has_a_state_of_its_own_and_shows_no_secret() -> None:
    first, second = begun(), begun()
    assert state_of(first) != state_of(second)
    assert len(state_of(first)) >= 40
    assert URL(first.address).query["state"] == state_of(first)
    assert URL(first.address).query["redirect_uri"] == SETTINGS.oauth_redirect_url
    assert "canary" not in first.address
    assert state_of(first) not in repr(first)


def test_without_an_application_the_settings_and_the_redirect_address_are_named() -> None:
    with pytest.raises(LoginError, match=r"CM_OAUTH_CLIENT_ID .* redirect address http://127\.0\.0\.1:8765/authorized"):
        begin_login(CampaignMonitorSettings(), "main", None, now=0)


def test_the_code_of_this_log_in_is_returned_and_not_shown() -> None:
    login = begun()
    code = read_answer(login, {"state": state_of(login), "code": "canary-code"}, now=1001.0)
    assert code.get_secret_value() == "canary-code"
    assert "canary" not in repr(code)


@pytest.mark.parametrize("answer", [{"code": "c"}, {"error": "access_denied"}, {}])
@pytest.mark.parametrize("state", [None, "", "another", "\u00e4"])
def test_an_answer_with_another_state_neither_counts_nor_ends_the_log_in(
    answer: dict[str, str], state: str | None
) -> None:
    query = answer if state is None else {**answer, "state": state}
    with pytest.raises(ForeignAnswerError):
        read_answer(begun(), query, now=1001.0)


@pytest.mark.parametrize(
    ("answer", "now", "sentence"),
    [
        ({"error": "access_denied"}, 1001, "Access was denied at Campaign Monitor: nothing was stored"),
        ({"error": "access_denied", "code": "c"}, 1001, "Access was denied"),
        ({"code": "c"}, 1000 + LOGIN_SECONDS, "longer than 10 minutes: nothing was stored"),
        ({}, 1001, "neither a code nor a reason: nothing was stored"),
        ({"code": ""}, 1001, "neither a code nor a reason"),
    ],
)
def test_every_other_end_is_a_sentence(answer: dict[str, str], now: float, sentence: str) -> None:
    login = begun()
    with pytest.raises(LoginError, match=sentence):
        read_answer(login, {**answer, "state": state_of(login)}, now=now)


@pytest.mark.parametrize(
    ("error", "names"),
    [
        ("access_denied", "Allow access"),
        ("unknown_client", "CM_OAUTH_CLIENT_ID"),
        ("invalid_redirect_uri", "CM_OAUTH_REDIRECT_URL"),
        ("unknown_scope", "ImportSubscribers"),
        ("server_error", "later"),
        ("invalid_request", "'invalid_request'"),
        ("<script>" * 100, "Begin again"),
    ],
)
def test_a_refusal_names_what_to_do(error: str, names: str) -> None:
    sentence = refusal_sentence(error)
    assert names in sentence
    assert "nothing was stored" in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("address", "listens"),
    [
        ("http://127.0.0.1:8765/authorized", True),
        ("http://localhost:8765/", True),
        ("http://[::1]:8765/authorized", True),
        ("https://127.0.0.1:8765/authorized", False),
        ("http://10.0.0.1:8765/authorized", False),
        ("https://console.example.com/authorized", False),
    ],
)
def test_the_command_waits_on_this_machine_only(address: str, listens: bool) -> None:
    if listens:
        assert loopback(address) == URL(address)
    else:
        with pytest.raises(LoginError, match="CM_OAUTH_REDIRECT_URL"):
            loopback(address)
