"""What every message has in common: strict types, bytes in, bytes out, instants in UTC.

A contract only grows: fields may be added with a default, never renamed, retyped or made required. So a reader
ignores fields that it does not know, and an old message stays readable.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

EpochMillis = int
"""Milliseconds since 1970-01-01T00:00:00Z: an instant inside of the programs and in stored rows."""


def to_utc(instant: datetime) -> datetime:
    """Return the same instant in UTC; an instant without an offset is read as UTC. Raises ValueError."""
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:  # which pydantic would not turn into a ValidationError
        raise ValueError("in UTC it is outside of the years 1 to 9999") from None


def rfc3339(instant: datetime) -> str:
    """Return the instant in UTC with milliseconds, cut and not rounded: `2010-10-25T10:28:00.000Z`."""
    return f"{to_utc(instant).isoformat(timespec='milliseconds')[:23]}Z"


Instant = Annotated[
    datetime,
    AfterValidator(to_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"format": "date-time"}),
]
"""A point in time. On the wire RFC 3339; written in UTC with milliseconds and `Z`."""


class Contract(BaseModel):
    """The base of everything that crosses a topic: immutable, strict, tolerant of unknown fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", ser_json_inf_nan="null")

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read one message. Raises pydantic's ValidationError, also when the bytes are no JSON."""
        return cls.model_validate_json(value)

    def to_bytes(self) -> bytes:
        """Write the message as JSON in UTF-8; fields without a value are left out."""
        return orjson.dumps(self.model_dump(mode="json", exclude_none=True))


class Message(Contract):
    """An event on a topic."""

    schema_version: int = Field(default=1, ge=1, description="Version of this contract; raised when it grows.")
    event_id: str | None = Field(
        default=None,
        max_length=128,
        description="Names the event. The same event published twice has the same id, and is then counted once.",
    )
    at: Instant = Field(description="When it happened (event time, UTC), not when it was published.")


def described(model: type[BaseModel]) -> dict[str, Any]:
    """Return the model's JSON Schema as it is published (2020-12, from the writer's point of view)."""
    schema = model.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
