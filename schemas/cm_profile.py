"""Topics `cm_profile`, `cm_profile_changes` and `cm_erasures`: a person's mapped fields, and what became of them.

`cm_profile` is keyed by e-mail, written by the profile aggregator, compacted. A field is absent until a message gave it
a value. A record without a value is a tombstone: the person was erased, or has another address now. Streams that users
add bring fields of their own; they come behind these.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from schemas.envelope import Contract, Message

SCHEMA_VERSION = 1
"""Travels in a header; raised when this contract grows."""

SCHEMA_HEADER = "profile.schema"
MAPPING_HEADER = "profile.mapping"
"""The version (hash) of the mappings that made the profile."""

_Date = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
_Texts = Annotated[list[str], Field(json_schema_extra={"uniqueItems": True})]
_Sums = dict[str, int]


class CmProfile(Contract):
    """One person, from what the streams report. Dates are RFC 3339 in UTC with milliseconds; sets are sorted."""

    model_config = ConfigDict(extra="allow")

    email: str = Field(description="Email Address; the record's key.")
    email_domain: str | None = Field(default=None, description="Email Domain.")
    cm_name: str | None = Field(default=None, description="CM Name.")
    cm_list_ids_status: dict[str, str] | None = Field(default=None, description="CM List Status By ID.")
    cm_list_names_status: dict[str, str] | None = Field(default=None, description="CM List Status By Name.")
    cm_client_ids: _Texts | None = Field(default=None, description="Campaign Monitor Client ID.")
    cm_client_names: _Texts | None = Field(default=None, description="Campaign Monitor Client Name.")
    country_code: str | None = Field(default=None, description="Country Code.")
    city: str | None = Field(default=None, description="City.")
    region: str | None = Field(default=None, description="State/Province.")
    cm_sendct: int | None = Field(default=None, ge=0, description="Campaign Monitor Send Count.")
    cm_openct: int | None = Field(default=None, ge=0, description="Campaign Monitor Open count.")
    cm_clickct: int | None = Field(default=None, ge=0, description="Campaign Monitor click count.")
    cm_firstopen_ts: _Date | None = Field(default=None, description="Campaign Monitor First Open.")
    cm_lastopen_ts: _Date | None = Field(default=None, description="Campaign Monitor Last Open.")
    cm_firstclick_ts: _Date | None = Field(default=None, description="Campaign Monitor First click.")
    cm_lastclick_ts: _Date | None = Field(default=None, description="Campaign Monitor Last click.")
    cm_unsub_ts: int | float | None = Field(
        default=None, description="Campaign Monitor Unsub date, milliseconds since 1970."
    )
    last_active_ts: _Date | None = Field(default=None, description="Last Active.")
    channels: _Texts | None = Field(default=None, description="All Channels Used.")
    cm_campaign_ids: _Texts | None = Field(
        default=None, description="Campaign Monitor Campaign ID the send was a part of."
    )
    cm_campaign_names: _Texts | None = Field(
        default=None, description="Campaign Monitor Campaign the send was a part of."
    )
    cm_listids: _Texts | None = Field(default=None, description="Campaign Monitor List the send originated from.")
    cm_list_names: _Texts | None = Field(default=None, description="Campaign Monitor List Name.")
    cm_email_urls: _Texts | None = Field(default=None, description="Campaign Monitor urls.")
    cm_email_event: _Sums | None = Field(default=None, description="Campaign Monitor Events.")
    hashedurls: _Sums | None = Field(default=None, description="Hashed Urls Visited.")
    cm_hourlyopen: _Sums | None = Field(default=None, description="Campaign Monitor Hourly Events.")
    cm_hourofweek: _Sums | None = Field(default=None, description="Campaign Monitor Hour of Week Events.")
    cm_monthly: _Sums | None = Field(default=None, description="Campaign Monitor Opens By Month.")


class ProfileChange(Message):
    """One changed field of one profile. `at` and `event_id` are those of the event that changed it.

    Published at least once: after a crash the same change may come again, byte for byte.
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
