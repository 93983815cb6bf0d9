"""Topic `audience-delivery`: one receipt for each membership change and export job. Written by the export worker."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.envelope import Contract, Message


class Outcome(StrEnum):
    """How a change ended."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    NOT_EXPORTED = "not_exported"


class Refusal(StrEnum):
    """Why Campaign Monitor, or a job's own rule, does not take the person."""

    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    SUPPRESSED = "suppressed"
    DELETED = "deleted"
    UNCONFIRMED = "unconfirmed"
    INVALID = "invalid"
    NOT_A_SUBSCRIBER = "not_a_subscriber"
    NO_ADDRESS = "no_address"
    ADDRESS_IN_USE = "address_in_use"


class SourcePosition(Contract):
    """Where the change is in Kafka."""

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class DeliveryReceipt(Message):
    """The outcome of one change for one job; there is exactly one receipt of each.

    `at` is when Campaign Monitor accepted the change, or when it was settled without a call.
    """

    job_id: str = Field(description="The export job.")
    list_id: str = Field(description="The Campaign Monitor list.")
    email: str = Field(description="The person, normalised; also the record's key.")
    address: str | None = Field(
        default=None, description="The address written to the list, where the job's e-mail field differs."
    )
    audiences: list[str] = Field(
        default_factory=list, description="Options of the audiences that the list now holds for the person."
    )
    outcome: Outcome = Field(
        description="added (new on the list), updated (on the list; a message says so when it is not known whether "
        "they were on it before), removed (from an audience), unchanged (the list held it already), superseded (a "
        "newer change came before this was sent), refused, or not_exported (it is from before the job began, or "
        "the job was edited or removed before it was sent)."
    )
    reason: Refusal | None = Field(default=None, description="Why it was refused.")
    code: int | None = Field(default=None, description="Campaign Monitor's error code, where there was one.")
    message: str | None = Field(
        default=None, description="One sentence for a person to read; also names the values that were left out."
    )
    taken_off: Literal["unsubscribe", "delete"] | None = Field(
        default=None, description="How the change took somebody active off the list; absent when it did not."
    )
    attempts: int = Field(default=0, ge=0, description="Calls that carried this change.")
    latency_ms: int | None = Field(
        default=None, ge=0, description="From the event's append to acceptance, in milliseconds."
    )
    source: SourcePosition = Field(description="The change that this receipt answers.")
