"""Stored authorizations become credentials: kept while tokens are refreshed, created again after a change."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, OAuth, Tokens
from connectors.control.accounts import AuthorizedApis, Credentials
from schemas.control import Authorization


class FakeAuthorizations:
    """In place of the table of `cm_authorizations`: plain look-up."""

    def __init__(self, **secrets):
        self.secrets = secrets

    def get(self, authorization_id):
        return self.secrets.get(authorization_id)

    def secret(self, authorization_id):
        if authorization_id not in self.secrets:
            raise LookupError(f"There is no authorization {authorization_id}")
        return self.secrets[authorization_id]

    def all(self):
        return {}

    def store_tokens(self, _authorization_id):
        return None

    def load_tokens(self, _authorization_id):
        return None


def tokens(text):
    return Tokens(SecretStr(text), SecretStr("refresh"), 4e12)


def credentials(stored, **settings):
    made = Credentials(CampaignMonitorSettings(**settings), None)
    made.read_from(stored)
    return made


async def header_of(credential):
    return (await credential.header()).get_secret_value()


async def test_a_key_becomes_basic_and_tokens_become_bearer():
    made = credentials(FakeAuthorizations(key=SecretStr("k"), pair=tokens("t")))
    assert isinstance(await made.credential("key"), ApiKey)
    assert isinstance(await made.credential("pair"), OAuth)
    assert (await header_of(await made.credential("pair"))) == "Bearer t"


async def test_newer_tokens_go_on_in_the_same_credential():
    stored = FakeAuthorizations(pair=tokens("old"))
    made = credentials(stored)
    before = await made.credential("pair")
    stored.secrets["pair"] = tokens("new")
    made.changed("pair", None)
    assert await made.credential("pair") is before
    assert await header_of(before) == "Bearer new"


async def test_another_key_is_another_credential_and_a_removed_one_is_unknown():
    stored = FakeAuthorizations(key=SecretStr("k"))
    made = credentials(stored)
    before = await made.credential("key")
    stored.secrets["key"] = SecretStr("l")
    made.changed("key", None)
    assert await made.credential("key") is not before
    del stored.secrets["key"]
    made.changed("key", None)
    with pytest.raises(LookupError, match="no authorization key"):
        await made.credential("key")


async def test_the_key_of_the_environment_is_used_where_none_is_stored():
    made = credentials(FakeAuthorizations(), api_key=SecretStr("e"))
    assert isinstance(await made.credential("anything"), ApiKey)


async def test_what_waits_goes_on_when_a_secret_is_stored_and_not_when_a_state_is_recorded():
    stored, woken = FakeAuthorizations(key=SecretStr("k")), []
    async with AuthorizedApis(CampaignMonitorSettings(), stored, on_access=lambda: woken.append(1)) as apis:
        written = Authorization(id="key", kind="api_key", sealed="s1", key_id="1", updated_at=datetime.now(UTC))
        apis.changed("key", written)
        seen, api = apis.changed_at("key"), await apis.api("key")
        assert (len(woken), seen is not None) == (1, True)
        shown = {"state": "needs_attention", "problem": "x", "description": "y"}
        apis.changed("key", written.model_copy(update=shown))
        assert (len(woken), apis.changed_at("key")) == (1, seen)
        assert await apis.api("key") is api, "its rate limit is kept, too"
        apis.changed("key", written.model_copy(update={"sealed": "s2"}))
        apis.changed("key", None)
        assert len(woken) == 3
