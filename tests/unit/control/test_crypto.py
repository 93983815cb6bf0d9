"""Encrypted secrets: opened by the right key for the right owner only, rotated, and never shown."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import Tokens
from connectors.control.authorizations import secret_bytes, secret_from
from connectors.control.crypto import ControlSettings, Sealed, Sealer, SealError, new_key

CANARY = "canary-s3cret"


def sealer(key: str, *old: str) -> Sealer:
    return Sealer.from_settings(
        ControlSettings(encryption_key=SecretStr(key), old_encryption_keys=SecretStr(",".join(old)))
    )


@given(st.text(), st.text(min_size=1, max_size=50))
def test_opens_what_it_sealed(secret: str, owner: str) -> None:
    keys = sealer(new_key())
    sealed = keys.seal(secret.encode(), owner)
    assert keys.open(sealed, owner).get_secret_value() == secret


def test_never_the_same_text_twice_and_never_the_secret_in_it() -> None:
    keys = sealer(new_key())
    first, second = (keys.seal(CANARY.encode(), "a") for _ in range(2))
    assert first != second
    assert CANARY.encode() not in base64.urlsafe_b64decode(first.text)


def test_an_old_key_still_opens_and_the_new_one_seals() -> None:
    old, new = new_key(), new_key()
    before = sealer(old).seal(b"x", "a")
    both = sealer(new, old)
    assert both.open(before, "a").get_secret_value() == "x"
    assert both.seal(b"x", "a").key_id == both.current_key_id != before.key_id


def test_a_missing_key_names_the_authorization_and_both_keys() -> None:
    sealed = sealer(new_key()).seal(CANARY.encode(), "acme")
    other = sealer(new_key())
    with pytest.raises(SealError, match=rf"Authorization acme was sealed with the key {sealed.key_id}") as caught:
        other.open(sealed, "acme")
    assert other.current_key_id in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_seal_belongs_to_one_authorization() -> None:
    keys = sealer(new_key())
    with pytest.raises(SealError, match="authorization other cannot be opened"):
        keys.open(keys.seal(b"x", "acme"), "other")


@pytest.mark.parametrize("change", [lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: raw[:5], lambda raw: b""])
def test_a_changed_text_does_not_open(change) -> None:
    keys = sealer(new_key())
    text, key = keys.seal(b"x", "acme")
    broken = base64.urlsafe_b64encode(change(base64.urlsafe_b64decode(text))).decode()
    with pytest.raises(SealError, match="acme cannot be opened"):
        keys.open(Sealed(broken, key), "acme")


@pytest.mark.parametrize("key", ["", "short", "not base64 at all!", base64.urlsafe_b64encode(b"x" * 31).decode()])
def test_a_wrong_key_names_the_setting_and_not_its_value(key: str) -> None:
    with pytest.raises(SealError, match="CONTROL_ENCRYPTION_KEY") as caught:
        sealer(key)
    assert not key or key not in str(caught.value)


def test_a_wrong_old_key_names_its_setting() -> None:
    with pytest.raises(SealError, match="CONTROL_OLD_ENCRYPTION_KEYS"):
        sealer(new_key(), "short")


def test_nothing_of_it_is_shown() -> None:
    key = new_key()
    settings = ControlSettings(encryption_key=SecretStr(key))
    assert key not in repr(settings) + str(settings) + settings.model_dump_json() + repr(Sealer.from_settings(settings))


@pytest.mark.parametrize("secret", [SecretStr("key"), Tokens(SecretStr("a"), SecretStr("r"), 12.5)])
def test_a_secret_comes_back_as_it_was(secret: SecretStr | Tokens) -> None:
    assert secret_from(SecretStr(secret_bytes(secret).decode())) == secret


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"access_token": "canary-s3cret"}'])
def test_what_is_no_secret_is_a_value_error_without_its_content(text: str) -> None:
    with pytest.raises(ValueError, match="neither an API key nor OAuth tokens") as caught:
        secret_from(SecretStr(text))
    assert CANARY not in str(caught.value)
