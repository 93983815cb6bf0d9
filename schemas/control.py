"""The control topics: access, what to do, the webhook of each list, the console's users, and who changed what."""

from typing import Annotated, Literal, Self

from pydantic import Field, RootModel

from schemas.envelope import Contract, Instant

ActivityKind = Literal["sent", "open", "click", "unsubscribe", "bounce", "spam"]
Role = Literal["viewer", "operator", "admin"]
Surface = Literal["cli", "console", "api"]
DataType = Literal["Text", "Number", "MultiSelectOne", "MultiSelectMany", "Date", "Country", "USState"]


class Authorization(Contract):
    """Access to a Campaign Monitor account. The secrets are sealed before they reach the topic."""

    id: str = Field(min_length=1, description="Also the record's key.")
    description: str = Field(default="", description="The name people gave it.")
    kind: Literal["api_key", "oauth"]
    sealed: str = Field(
        repr=False,
        description="API key, or access and refresh token with expiry, encrypted with the deployment's key.",
    )
    key_id: str = Field(description="Which encryption key sealed it, so that keys can be rotated.")
    state: Literal["ready", "needs_attention"] = "ready"
    problem: str | None = Field(default=None, description="What a person has to do, when attention is needed.")
    updated_at: Instant


class FieldMapping(Contract):
    """A field of the person, sent to a custom field of the list."""

    user_field: str = Field(min_length=1, description="Name in the membership event's `user`.")
    custom_field: str = Field(min_length=1, description="Name of the custom field; created when the list has none.")
    data_type: DataType = Field(
        default="Text", description="Type to create the field with; an existing one must agree."
    )


class ConsentRule(Contract):
    """Resubscribe only a person whose consent is newer than the unsubscribe."""

    user_field: str = Field(description="The person's field that holds the time of consent (RFC 3339, or a date).")


class Job(Contract):
    """What export and import jobs share."""

    id: str = Field(min_length=1, description="Also the record's key.")
    name: str = ""
    authorization_id: str = Field(description="The Account input: which authorization to use.")
    client_id: str = Field(description="Campaign Monitor client.")
    state: Literal["running", "stopped"] = Field(default="running", description="Start and stop.")
    attention: str | None = Field(
        default=None, description="What a person has to do; stored beside the job, as `attention` records."
    )
    created_at: Instant
    updated_at: Instant = Field(description="When a person created, edited, started or stopped it last.")


class ExportJob(Job):
    """Keeps one Campaign Monitor list in step with audiences."""

    kind: Literal["export"] = "export"
    list_id: str = Field(description="The list to export to.")
    audiences: list[str] = Field(default_factory=list, description="Audiences to export, by id or name; none = all.")
    existing_users: bool = Field(
        default=False, description="Also export people who were in the audience before the job started."
    )
    resubscribe_users: bool = Field(
        default=False,
        description="Make people active again who unsubscribed, bounced or were deleted. Off protects them.",
    )
    queue_autoresponders: bool = Field(
        default=False,
        description="Queue the automated e-mails that follow a subscription, which imports do not by default.",
    )
    restart_autoresponders: bool = Field(
        default=False, description="Restart such series for people who are resubscribed."
    )
    email_field: str = Field(default="email", description="The person's field that holds the address.")
    name_field: str = Field(default="name", description="The person's field that holds the full name.")
    field_mappings: list[FieldMapping] = Field(default_factory=list)
    consent_to_track: Literal["Yes", "No", "Unchanged"] = "Unchanged"
    custom_field_name: str = Field(default="Lytics Audiences", description="The custom field that holds the audiences.")
    segment_name: str = Field(
        default="{audience}", description="Name of each audience's segment; {audience} is its name."
    )
    on_last_exit: Literal["keep", "unsubscribe", "delete"] = Field(
        default="keep", description="What happens at the list to a person who left the last exported audience."
    )
    update_only: bool = Field(
        default=False, description="Never add a person who is not on the list (no new billable contact)."
    )
    consent_rule: ConsentRule | None = None
    removal_guard: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Stop and ask when a larger share of the exported people would be removed; 1 = never ask.",
    )
    removals_confirmed_at: Instant | None = Field(
        default=None, description="When a person looked at the removals and confirmed them; later ones count from zero."
    )
    started_at: Instant = Field(description="Changes from here on count; earlier ones only with existing_users.")


class ImportJob(Job):
    """Publishes subscribers and activity of a client's lists."""

    kind: Literal["import"] = "import"
    lists: list[str] = Field(default_factory=list, description="List ids; none = all lists of the client.")
    keep_updated: bool = Field(default=False, description="Run again and again.")
    interval_seconds: int = Field(default=3600, ge=60, description="Time between the starts of two runs.")
    activities: list[ActivityKind] = Field(
        default=["sent", "open", "click", "unsubscribe", "bounce", "spam"], description="Which activity to import."
    )
    since: Instant | None = Field(default=None, description="How far back: older campaigns and activity are left out.")
    journeys: bool = Field(default=True, description="Also the e-mails of journeys.")
    full_read: int = Field(default=0, ge=0, description="Raised by one to ask for a full read at the next run.")


class AnyJob(RootModel[Annotated[ExportJob | ImportJob, Field(discriminator="kind")]]):
    """An export or an import job."""

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read one message. Raises pydantic's ValidationError, also when the bytes are no JSON."""
        return cls.model_validate_json(value)

    def to_bytes(self) -> bytes:
        """Write the message as JSON in UTF-8."""
        return self.root.to_bytes()


AskedBy = Literal["export", "import", "webhooks"]


class JobAttention(Contract):
    """What one of those that work for a job asks a person to do. Key `attention:{by}:{job}`; a tombstone: nothing.

    It is no part of the job's record: who edits the job and who asks write at the same time.
    """

    kind: Literal["attention"] = "attention"
    job_id: str
    by: AskedBy
    text: str


def attention_key(by: AskedBy, job_id: str) -> str:
    """Return the key of what is asked for."""
    return f"attention:{by}:{job_id}"


class JobsRecord(RootModel[Annotated[ExportJob | ImportJob | JobAttention, Field(discriminator="kind")]]):
    """A record of `cm_jobs`: a job, or what a person has to do for one."""

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read one message. Raises pydantic's ValidationError, also when the bytes are no JSON."""
        return cls.model_validate_json(value)

    def to_bytes(self) -> bytes:
        """Write the message as JSON in UTF-8."""
        return self.root.to_bytes()


class WebhookRegistration(Contract):
    """A list's webhook, and what its events do not hold themselves. The secret path is not in it: it is derived."""

    list_id: str = Field(description="Also the record's key.")
    list_name: str = ""
    client_id: str
    client_name: str = ""
    time_zone: str = Field(description="The client's label; dates of events are local to it.")
    job_ids: list[str] = Field(description="Import jobs that want it; the first is named in the records.")
    authorization_id: str
    webhook_id: str | None = Field(default=None, description="None while it could not be created.")
    base_url: str = Field(default="", description="The public address that it was registered with.")
    state: Literal["active", "missing", "failed", "removed"] = Field(
        default="missing", description="removed: its jobs are stopped; events are missing since `seen_active_at`."
    )
    problem: str | None = Field(default=None, description="What a person has to change, in a sentence.")
    seen_active_at: Instant | None = Field(
        default=None, description="When it was last seen to be active, or its list polled."
    )
    updated_at: Instant


class ConsoleUser(Contract):
    """Somebody who may log in to the console."""

    kind: Literal["user"] = "user"
    name: str = Field(min_length=1, description="Also the record's key.")
    role: Role
    password_hash: str = Field(repr=False, description="Argon2id, with its salt and parameters.")
    updated_at: Instant


class ChangedField(Contract):
    """A field of a job, authorization or user that was changed."""

    field: str
    before: str | None = Field(default=None, description="As JSON; absent when there was none. A secret is not shown.")
    after: str | None = Field(default=None, description="The same, after the change.")


class AuditRecord(Contract):
    """A change that somebody made, or asked for: who, when and what."""

    at: Instant
    who: str = Field(description="The console's user, the owner of a token, or the user of the operating system.")
    via: Surface = Field(description="By what it was made.")
    kind: str = Field(description="What was changed: job, authorization, user, ...")
    id: str = Field(description="Which one.")
    action: str = Field(description="create, edit, start, stop, remove, or what was asked for.")
    changes: list[ChangedField] = Field(default_factory=list)


class ConsoleToken(Contract):
    """What lets a program use the console's API. Key `token:{id}`; a tombstone: it is revoked."""

    kind: Literal["token"] = "token"
    id: str = Field(pattern="^[0-9a-f]{8}$", description="Its public part, by which it is listed and revoked.")
    description: str = Field(min_length=1, max_length=200, description="What uses it.")
    role: Role
    secret_hash: str = Field(repr=False, description="SHA-256 of its secret part, which is 256 random bits.")
    made_by: str = Field(description="User, token or command that made it.")
    made_at: Instant
    ends_at: Instant | None = Field(default=None, description="It is refused from then on; None: it has no end.")


class ConsoleRecord(RootModel[Annotated[ConsoleUser | ConsoleToken, Field(discriminator="kind")]]):
    """A record of `cm_console_users`: a user, or a program's token."""

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read one message. Raises pydantic's ValidationError, also when the bytes are no JSON."""
        return cls.model_validate_json(value)

    def to_bytes(self) -> bytes:
        """Write the message as JSON in UTF-8."""
        return self.root.to_bytes()
