"""Topic `cm_webhooks`: the webhook that each list has at Campaign Monitor. Key: list id. Internal to the receiver."""

from typing import Literal

from pydantic import Field

from schemas.envelope import Contract, Instant


class WebhookRegistration(Contract):
    """A list's webhook, and what its events do not say themselves. The secret path is not in it: it is derived."""

    list_id: str = Field(description="Also the record's key.")
    list_name: str = ""
    client_id: str
    client_name: str = ""
    time_zone: str = Field(description="The client's label; dates of events are local to it.")
    job_ids: list[str] = Field(description="Import jobs that want it; the first is named in the records.")
    authorization_id: str
    webhook_id: str | None = Field(default=None, description="None while it could not be created.")
    base_url: str = Field(default="", description="The public address that it was registered with.")
    state: Literal["active", "missing", "failed", "removed"] = "missing"
    problem: str | None = Field(default=None, description="What a person has to change, in a sentence.")
    seen_active_at: Instant | None = Field(default=None, description="When it was last seen to be active.")
    updated_at: Instant
