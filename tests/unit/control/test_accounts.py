"""Stored authorizations become credentials: kept while tokens are refreshed, created again after a change."""

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, OAuth, Tokens
from connectors.control.accounts import Credentials


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
