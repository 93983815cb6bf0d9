"""Topic `cm_activity`: what a person did, or what happened to them.

Written by the importer and the receiver. The export adds who it takes off a list, before it does, as an echo.
"""

from typing import Literal

from pydantic import Field

from schemas.cm_user import FieldValue
from schemas.envelope import Message

Event = Literal["sent", "open", "click", "bounce", "spam", "subscribe", "update", "deactivate"]


class CmActivity(Message):
    """One activity. `at` is Campaign Monitor's date, converted from the client's zone to UTC."""

    event: str = Field(
        description="sent, open, click, bounce, spam, subscribe, update or deactivate; unknown ones are kept as data."
    )
    email: str = Field(description="Address as Campaign Monitor holds it; normalised, it is the record's key.")
    old_email: str | None = Field(default=None, description="update: the address before, when it changed.")
    status: str | None = Field(
        default=None, description="deactivate: unsubscribe, bounce or delete; update: the state, lower case."
    )
    source: Literal["campaign", "journey", "webhook", "export"] = Field(
        description="Where Campaign Monitor reported it; export: an export job takes them off the list next."
    )
    echo: bool = Field(
        default=False, description="Our own write coming back as a webhook; it changes no profile field."
    )
    name: str | None = None
    client_id: str | None = None
    client_name: str | None = None
    list_id: str | None = None
    list_name: str | None = None
    campaign_id: str | None = None
    campaign_name: str | None = None
    journey_id: str | None = None
    journey_name: str | None = None
    journey_email_id: str | None = None
    journey_email_name: str | None = None
    url: str | None = Field(default=None, description="click: the link.")
    ip: str | None = None
    cc: str | None = Field(default=None, description="Country code, ISO 3166-1 alpha-2.")
    country: str | None = None
    city: str | None = None
    region: str | None = None
    latitude: float | None = Field(default=None, description="Degrees.")
    longitude: float | None = Field(default=None, description="Degrees.")
    bounce_type: str | None = Field(default=None, description="bounce: Hard or Soft; others may come.")
    reason: str | None = Field(default=None, description="bounce: Campaign Monitor's text.")
    custom_fields: list[FieldValue] = Field(
        default_factory=list, description="Webhook events: the subscriber's values."
    )
    raw_date: str | None = Field(
        default=None, description="The date as Campaign Monitor wrote it, in the client's zone."
    )
    job_id: str | None = Field(default=None, description="The import job that read it.")
    repeat: bool = Field(
        default=False, description="Read again on request: profiles take its values and count nothing."
    )
