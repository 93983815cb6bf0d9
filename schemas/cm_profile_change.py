"""Topics `cm_profile_changes` and `cm_erasures`: what became of profiles, for those who follow along."""

from typing import Any, Literal

from pydantic import Field

from schemas.envelope import Contract, Message


class ProfileChange(Message):
    """One changed field of one profile. `at` and `event_id` are those of the event that changed it.

    Told at least once: after a crash the same change may come again, in the same words.
    """

    email: str = Field(description="The profile's key.")
    field: str = Field(description="The field that changed.")
    old: Any = Field(default=None, description="Value before; absent: there was none.")
    new: Any = Field(default=None, description="Value after; absent: there is none any more.")
    stream: str = Field(description="Topic of the event.")
    partition: int
    offset: int


class ErasureReceipt(Contract):
    """A person's profile is erased. The receipt names nobody: it is kept when the person is forgotten."""

    schema_version: int = Field(default=1, ge=1)
    request_id: str = Field(description="Id of the request, and the record's key.")
    email_sha256: str = Field(description="SHA-256 of the address, hexadecimal, to match with a request that is known.")
    outcome: Literal["erased", "unknown"] = Field(description="unknown: there was no profile under this address.")
    requested_at: str = Field(description="RFC 3339, UTC.")
    erased_at: str = Field(description="RFC 3339, UTC.")
