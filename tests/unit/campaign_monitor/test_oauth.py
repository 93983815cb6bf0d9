"""The OAuth endpoints: addresses, forms and answers."""

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.client.transport import Answer
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.errors.exceptions import ApiError, MalformedAnswer, OAuthRefused, Unavailable
from connectors.campaign_monitor.oauth import authorize_url, read_tokens


def answer(status: int, body: object) -> Answer:
    return Answer(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))


def test_where_a_person_authorises() -> None:
    back = "https://us.example/back?x=1"
    settings = CampaignMonitorSettings(
        oauth_client_id="app", oauth_client_secret=SecretStr("canary"), oauth_redirect_url=back
    )
    url = authorize_url(settings, SecretStr("st&te"))
    assert url.startswith("https://api.createsend.com/oauth?")
    assert "canary" not in url
    assert parse_qs(urlsplit(url).query) == {
        "type": ["web_server"],
        "client_id": ["app"],
        "redirect_uri": ["https://us.example/back?x=1"],
        "scope": ["ManageLists,ImportSubscribers,ViewReports,ViewSubscribersInReports,Automation"],
        "state": ["st&te"],
    }
    with pytest.raises(ValueError, match="CM_OAUTH_CLIENT_ID"):
        authorize_url(CampaignMonitorSettings(), SecretStr("s"))


@pytest.mark.parametrize("lifetime", [1_209_600, "1209600"])
def test_tokens_are_read(lifetime: object) -> None:
    tokens = read_tokens(
        answer(200, {"access_token": "a+/=", "expires_in": lifetime, "refresh_token": "r"}), now=1000.0
    )
    assert tokens.access_token.get_secret_value() == "a+/="
    assert tokens.expires_at == 1_210_600
    assert tokens.stale(1_210_000, 86_400)
    assert not tokens.stale(0, 86_400)


@pytest.mark.parametrize("status", [200, 400])
def test_an_oauth_error_with_any_status(status: int) -> None:
    with pytest.raises(OAuthRefused, match="invalid_grant") as caught:
        read_tokens(answer(status, {"error": "invalid_grant", "error_description": "too old"}), 0)
    assert caught.value.description == "too old"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, {"error": "server_error"}, Unavailable),
        (502, b"<html>", Unavailable),
        (400, b"", ApiError),
        (302, b"", ApiError),
        (200, b"<html>", MalformedAnswer),
        (200, [], MalformedAnswer),
        (200, {"access_token": "a", "expires_in": "soon", "refresh_token": "r"}, MalformedAnswer),
        (200, {"access_token": "a", "expires_in": 1}, MalformedAnswer),
        (200, {"access_token": "", "expires_in": 1, "refresh_token": "r"}, MalformedAnswer),
    ],
)
def test_other_answers(status: int, body: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_tokens(answer(status, body), 0)
