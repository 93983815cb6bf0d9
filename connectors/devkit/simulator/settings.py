"""Every switch of the simulator. A switch may be changed while it runs (`Controls.change_settings`)."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SimulatorSettings(BaseModel):
    """What the simulated Campaign Monitor holds at the start and how it behaves.

    Times carry their unit in the name. Where Campaign Monitor's behaviour is not established there is a switch, and
    its default is what most sources report.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # Where it listens
    host: str = "127.0.0.1"
    port: int = 0  # 0 takes a free port; `Simulator.base_url` has it
    # What it holds at the start
    api_key: str = "simulator-key"
    account_name: str = "Simulated account"
    account_zone: str = "(GMT) Coordinated Universal Time"
    agency: bool = True
    seed: int = 1
    demo: bool = False
    subscribers: int = Field(default=2_000, ge=0)  # of the demo account, on its first list
    activity: int = Field(default=5_000, ge=0)  # report rows of the demo account, over all sent campaigns
    now: datetime | None = None  # the clock's start; None is the real time
    frozen: bool = False  # the clock does not run until it is moved
    # How it answers
    latency_ms: float = Field(default=0.0, ge=0)  # what a call takes at least, from its arrival
    latency_us_per_row: float = Field(default=0.0, ge=0)  # and for each subscriber or row that is sent or shown
    keep_rows: int = Field(default=0, ge=0)  # rows of pages that are kept encoded: see `EncodedRows`
    gzip: bool = False
    read_keys: Literal["name", "key"] = "name"  # form of `Key` in subscriber reads
    minute_resolution: bool = False  # subscriber dates without seconds
    add_delay_seconds: float = Field(default=0.0, ge=0)  # time an added subscriber waits in the queue
    segment_delay_seconds: float = Field(default=0.0, ge=0)  # time a segment needs after its rules changed
    segment_delay_answer: Literal["278", "stale"] = "278"
    # Values over 250 characters: cut, left out as if they had not been sent, kept, or their row is refused (code 400).
    value_limit: Literal["cut", "drop", "keep", "reject"] = "cut"
    value_units: Literal["utf-16", "characters", "bytes"] = "utf-16"  # what these 250 count; bytes of UTF-8
    option_case: Literal["exact", "ignore"] = "exact"  # whether "Gold" is the option "gold" too
    failure_spelling: Literal["sent", "upper", "quoted", "empty"] = "sent"  # of addresses in an import's failures
    import_winner: Literal["last", "first"] = "last"  # of two rows with one address in one import
    delete_sends_deactivate: bool = True
    spam_complaint_state: Literal["Unsubscribed", "Deleted"] = "Unsubscribed"
    hard_bounce_suppresses: bool = True
    max_fields: int | None = None
    max_options: int | None = None
    max_segments: int | None = None
    # Limits
    address_limit: int = Field(default=0, ge=0)  # writes per address in the window; 0 is no limit
    address_window_seconds: float = Field(default=10.0, gt=0)
    rate_limit: int = Field(default=0, ge=0)  # calls of everybody in the window; 0 is no limit
    rate_window_seconds: float = Field(default=60.0, gt=0)
    rate_limit_headers: bool = True
    # OAuth
    login_username: str = "simulator"  # or the e-mail address of the account's primary contact
    login_password: str = "simulator-password"  # noqa: S105  (a simulator's, printed in its help)
    oauth_client_id: str = "cm-streams"
    oauth_client_secret: str = "simulator-secret"  # noqa: S105  (a simulator's, printed in its help)
    oauth_redirect_prefix: str = "http"
    oauth_error_status: int = 400
    oauth_rotate: bool = True  # a refresh returns a new refresh token, and the old one is dead
    oauth_expires_in: int = 1_209_600
    # Webhooks
    webhook_linger_ms: float = Field(default=20.0, ge=0)  # time in which events gather into one POST
    webhook_timeout_seconds: float = Field(default=10.0, gt=0)
    webhook_retry_first_seconds: float = Field(default=1.0, gt=0)
    webhook_retry_max_seconds: float = Field(default=60.0, gt=0)
    webhook_week_seconds: float = Field(default=604_800.0, gt=0)  # failing this long deactivates the hook
    webhook_duplicate_probability: float = Field(default=0.0, ge=0, le=1)
    webhook_drop_probability: float = Field(default=0.0, ge=0, le=1)
    webhook_reorder_probability: float = Field(default=0.0, ge=0, le=1)
    webhook_max_batch: int = Field(default=1_000, ge=1, le=1_000)
    # Request log
    book_limit: int | None = None  # entries kept in each log; None keeps all
