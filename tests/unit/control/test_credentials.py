"""From stored authorizations to credentials: kept while tokens are renewed, made anew when a person changed them."""

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import ApiKey, OAuth, Tokens
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.credentials import Credentials


class Stored:
    """Stands where the authorizations' topic is: what is asked of it here is plain look-up."""

    def __init__(self, **access):
        self.there = access

    def get(self, authorization_id):
        return self.there.get(authorization_id)

    def access(self, authorization_id):
        if authorization_id not in self.there:
            raise LookupError(f"There is no authorization {authorization_id}")
        return self.there[authorization_id]

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
    made = credentials(Stored(key=SecretStr("k"), pair=tokens("t")))
    assert isinstance(await made.credential("key"), ApiKey)
    assert isinstance(await made.credential("pair"), OAuth)
    assert (await header_of(await made.credential("pair"))) == "Bearer t"


async def test_newer_tokens_go_on_in_the_same_credential():
    stored = Stored(pair=tokens("old"))
    made = credentials(stored)
    before = await made.credential("pair")
    stored.there["pair"] = tokens("new")
    made.changed("pair", None)
    assert await made.credential("pair") is before
    assert await header_of(before) == "Bearer new"


async def test_another_key_is_another_credential_and_a_removed_one_is_gone():
    stored = Stored(key=SecretStr("k"))
    made = credentials(stored)
    before = await made.credential("key")
    stored.there["key"] = SecretStr("l")
    made.changed("key", None)
    assert await made.credential("key") is not before
    del stored.there["key"]
    made.changed("key", None)
    with pytest.raises(LookupError, match="no authorization key"):
        await made.credential("key")


async def test_the_key_of_the_environment_stands_in():
    made = credentials(Stored(), api_key=SecretStr("e"))
    assert isinstance(await made.credential("anything"), ApiKey)
