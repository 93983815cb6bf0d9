"""Who a message is about: an e-mail address, normalised in one place.

`normalise_email` is the mapping language's `email(x)` for one text; every key of every topic comes from it.
"""

MAX_KEY_BYTES = 256
"""Longer keys belong to no profile (Lytics platform limits)."""


def normalise_email(text: str) -> str | None:
    """Return the bare address of an RFC 5322 mailbox in lower case, or None when there is none."""
    address = text.strip(" ").lower()
    local, at, domain = address.rpartition("@")
    return address if at and local and domain and " " not in address else None


def key_of(email: str) -> bytes:
    """Return the Kafka key of a normalised address: its UTF-8 bytes."""
    return email.encode()
