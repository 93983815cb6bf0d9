"""What a caller sends about one subscriber: the same keys in add, update and import."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from connectors.devkit.simulator.data.fields import FieldEntries, read_entries
from connectors.devkit.simulator.protocol.errors import SimulatedApiError, undeserialisable

UNCHANGED, YES, NO = 0, 1, 2
CONSENTS = {"unchanged": UNCHANGED, "yes": YES, "no": NO}
_NAMES = frozenset(
    ("EmailAddress", "Name", "MobileNumber", "ConsentToTrack", "ConsentToSendSms", "CustomFields", "Resubscribe")
)
_BY_LOWER = {name.lower(): name for name in _NAMES}
CONSENT_TEXTS = ("", "Yes", "No")

_EMAIL = re.compile(r"[^\s@,;:<>()\[\]\\\"]+@[^\s@,;:<>()\[\]\\\"]+\.[^\s@,;:<>()\[\]\\\".]{2,}")
_MOBILE = re.compile(r"\+[1-9]\d{6,14}")


class Submission(NamedTuple):
    """A checked subscriber of a request. None means not sent: the value stays as it is."""

    email: str
    name: str | None
    entries: FieldEntries
    mobile: str | None
    consent: int
    sms: int


def is_email(text: str) -> bool:
    """Return True when the API accepts a text as an address."""
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def as_named(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a subscriber of a request with its keys as the API spells them, whatever their case was."""
    return raw if raw.keys() <= _NAMES else {_BY_LOWER.get(key.lower(), key): value for key, value in raw.items()}


def email_of(raw: Mapping[str, Any], argument: str = "subscriber") -> str:
    """Return the trimmed `EmailAddress` of a subscriber; "" when there is none."""
    email = raw.get("EmailAddress")
    if email is not None and not isinstance(email, str):
        raise undeserialisable(argument)
    return (email or "").strip()


def flag(raw: Mapping[str, Any], name: str, argument: str = "subscriber") -> bool:
    """Return a boolean of a body with keys in lower case; absent is false."""
    value = raw.get(name, False)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise undeserialisable(argument)
    return value


def read_submission(raw: Mapping[str, Any], *, wrong_email: int = 1, argument: str = "subscriber") -> Submission:
    """Check a subscriber, with keys from `as_named`.

    Raises ApiError 400 for wrong types, else 1 (or `wrong_email`), 214, 215, 220, 221.
    """
    email = email_of(raw, argument)
    name = raw.get("Name")
    mobile = raw.get("MobileNumber")
    consent = raw.get("ConsentToTrack")
    sms = raw.get("ConsentToSendSms")
    for text in (name, mobile, consent, sms):
        if text is not None and not isinstance(text, str):
            raise undeserialisable(argument)
    try:
        entries = read_entries(raw.get("CustomFields"))
    except ValueError:
        raise undeserialisable(argument) from None
    email_right = is_email(email)
    if mobile and not _MOBILE.fullmatch(mobile):
        raise SimulatedApiError(220 if email_right else 221)
    if not email_right:
        raise SimulatedApiError(wrong_email)
    return Submission(
        email,
        name,
        entries,
        mobile,
        _consent(consent, required=True),
        _consent(sms, required=False),
    )


def _consent(text: str | None, *, required: bool) -> int:
    if not text:
        if required:
            raise SimulatedApiError(214)
        return UNCHANGED
    code = CONSENTS.get(text.lower())
    if code is None:
        raise SimulatedApiError(215)
    return code
