"""Settings of the export worker, from `EXPORT_...` environment variables."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.export.rules.values import Units


class ExportSettings(BaseSettings):
    """How the export worker reads audience events and brings lists up to date."""

    model_config = SettingsConfigDict(env_prefix="EXPORT_", env_file=".env", extra="ignore", frozen=True)

    app_id: str = Field(
        default="cm-export", min_length=1, description="Consumer group of the export workers; all of them share it."
    )
    instance_id: str | None = Field(
        default=None, description="Name of this worker for static group membership: a quick restart moves no partition."
    )
    import_size: int = Field(
        default=1_000,
        ge=1,
        le=1_000,
        description="People in one import call at most; Campaign Monitor's limit is 1,000.",
    )
    fields_check_seconds: float = Field(
        default=60, gt=0, description="How often a list's custom fields and segments are read again while it is in use."
    )
    probe_seconds: float = Field(
        default=60, gt=0, description="How often a job is tried that waits for a person to repair something."
    )
    checkpoint_seconds: float = Field(
        default=5, gt=0, description="How often each partition notes up to which receipt its rows are complete."
    )
    backfill_rows: int = Field(
        default=5_000, ge=1_000, description="People of a backfill held in memory per list and partition at most."
    )
    guard_window_seconds: float = Field(
        default=3_600,
        gt=0,
        description="Removals are counted over this long for a job's removal guard, by all workers.",
    )
    guard_minimum: int = Field(
        default=100, ge=0, description="Fewer removals than this in the window never stop a list."
    )
    late_call_seconds: float = Field(
        default=300,
        gt=0,
        description="How long after a call without an answer Campaign Monitor may still apply it; then its people are "
        "compared with the list.",
    )
    value_units: Units = Field(
        default="utf-16",
        description="What Campaign Monitor's limit of 250 for values and options counts: `utf-16` units, or "
        "`characters`, of which an emoji is one and not two.",
    )
    max_row_bytes: int = Field(
        default=262_144, ge=4_096, description="A person's row may grow to this; the event that exceeds it is refused."
    )

    def consumer_group(self, topic_prefix: str) -> str:
        """Return the group as brokers know it: installations that share brokers differ by their prefix."""
        return topic_prefix + self.app_id
