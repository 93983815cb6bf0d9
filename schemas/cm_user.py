"""Topic `cm_user`: one imported subscriber of one list. Written by the import connector.

A subscriber that changes is published again, with another event id; one that does not is published once. A list's
states are separate records: who unsubscribed and came back has one of each, and the newer `at` counts.
"""

from pydantic import Field

from schemas.envelope import Contract, Message


class FieldValue(Contract):
    """One custom field value as Campaign Monitor holds it; a select-many field repeats its key once per option."""

    key: str = Field(description="Field key without brackets.")
    value: str = Field(description="Every value is text at Campaign Monitor, also numbers and dates.")


class CmUser(Message):
    """A subscriber of a list in one of its states. `at` is the last state change on that list, converted to UTC."""

    email: str = Field(description="Address as Campaign Monitor holds it; normalised, it is the record's key.")
    name: str | None = Field(default=None, description="Full name.")
    list_id: str | None = Field(default=None, description="List; absent for an entry of the client's suppression list.")
    list_name: str | None = None
    status: str = Field(
        description="Active, Unconfirmed, Unsubscribed, Bounced or Deleted (Campaign Monitor's words), "
        "or Suppressed for an entry of the client's suppression list, Unsuppressed for one that was taken off it; "
        "when is not known, so `at` is when it was seen there last."
    )
    suppression_reason: str | None = Field(default=None, description="Unsubscribed, Bounced or Reason Unavailable.")
    client_id: str
    client_name: str | None = None
    joined_at: str | None = Field(default=None, description="First added to the list, RFC 3339 in UTC.")
    custom_fields: list[FieldValue] = Field(default_factory=list)
    consent_to_track: str | None = Field(default=None, description='Yes, No, or "" when never asked.')
    consent_to_send_sms: str | None = None
    mobile_number: str | None = Field(default=None, description="E.164.")
    reads_email_with: str | None = None
    raw_date: str | None = Field(
        default=None, description="The date as Campaign Monitor wrote it, in the client's zone."
    )
    job_id: str | None = Field(default=None, description="The import job that read it.")
    repeat: bool = Field(
        default=False, description="Read again on request: profiles take its values and count nothing."
    )
