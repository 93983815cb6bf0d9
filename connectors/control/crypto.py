"""Secrets are encrypted before they reach a topic, and bound to the authorization that they belong to.

AES-256-GCM with a random nonce; the authorization's id is authenticated along, so that a sealed text that was copied to
another authorization does not open. Keys are known by their fingerprint; old ones may still open.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

KEY_BYTES = 32
NONCE_BYTES = 12


class ControlSettings(BaseSettings):
    """The keys of the control plane: every process that uses an authorization needs the key that encrypted it."""

    model_config = SettingsConfigDict(env_prefix="CONTROL_", env_file=".env", extra="ignore")

    encryption_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals authorizations: 32 bytes in base64, made by `cm-streams auth new-key`.",
    )
    old_encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Former keys, separated by commas: they still open what they sealed, until it is sealed again.",
    )


class SealError(RuntimeError):
    """A secret cannot be sealed or opened; names the authorization and what to do. Never holds a secret."""


class Sealed(NamedTuple):
    """An encrypted secret as it goes to the topic."""

    text: str
    key_id: str


def new_key() -> str:
    """Return a fresh random key in the form that the settings take."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def key_id(key: bytes) -> str:
    """Return the name by which a key is known. Nothing about the key follows from it."""
    return hashlib.sha256(b"cm-streams key id" + key).hexdigest()[:8]


class Sealer:
    """Seals with the current key; opens with the current and the old ones."""

    def __init__(self, current: bytes, old: Sequence[bytes] = ()) -> None:
        self._current_id = key_id(current)
        self._ciphers = {key_id(key): AESGCM(key) for key in (current, *old)}

    @classmethod
    def from_settings(cls, settings: ControlSettings) -> Self:
        """Make a sealer of the configured keys.

        Raises:
            SealError: no key is set, or one is not 32 bytes in base64.
        """
        current = settings.encryption_key.get_secret_value().strip()
        if not current:
            raise SealError(
                "CONTROL_ENCRYPTION_KEY is not set: make a key with `cm-streams auth new-key` and give the same one to "
                "every process"
            )
        old = [text for text in settings.old_encryption_keys.get_secret_value().split(",") if text.strip()]
        return cls(
            _decoded(current, "CONTROL_ENCRYPTION_KEY"), [_decoded(text, "CONTROL_OLD_ENCRYPTION_KEYS") for text in old]
        )

    @classmethod
    def if_configured(cls, settings: ControlSettings) -> Self | None:
        """Return a sealer of the configured keys, None when no key is set. Raises SealError for what is no key."""
        return cls.from_settings(settings) if settings.encryption_key.get_secret_value() else None

    @property
    def current_key_id(self) -> str:
        """The id of the key that new secrets are sealed with."""
        return self._current_id

    def __repr__(self) -> str:
        return f"Sealer(current={self._current_id}, keys={sorted(self._ciphers)})"

    def seal(self, secret: bytes, owner: str) -> Sealed:
        """Encrypt a secret for the authorization `owner`."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[self._current_id].encrypt(nonce, secret, _bound_to(owner))
        return Sealed(base64.urlsafe_b64encode(sealed).decode(), self._current_id)

    def open(self, sealed: Sealed, owner: str) -> SecretStr:
        """Decrypt the secret of the authorization `owner`.

        Raises:
            SealError: its key is not configured, or the text was changed or belongs to another authorization.
        """
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise SealError(
                f"Authorization {owner} was sealed with the key {sealed.key_id}, and the keys here are "
                f"{', '.join(sorted(self._ciphers))}: set CONTROL_ENCRYPTION_KEY or CONTROL_OLD_ENCRYPTION_KEYS to the "
                f"key it was sealed with, or enter its secret again with `cm-streams auth add --id {owner}`"
            )
        try:
            raw = base64.urlsafe_b64decode(sealed.text.encode())
            return SecretStr(cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(owner)).decode())
        except (InvalidTag, ValueError):
            raise SealError(
                f"The secret of authorization {owner} cannot be opened: it was changed, or sealed for another one. "
                f"Enter it again with `cm-streams auth add --id {owner}`"
            ) from None


def _bound_to(owner: str) -> bytes:
    return f"cm-streams authorization {owner}".encode()


def _decoded(text: str, setting: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text.strip().encode())
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(f"{setting} must be 32 bytes in base64: make a key with `cm-streams auth new-key`")
    return key
