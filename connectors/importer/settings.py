"""How imports read and how often."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.campaign_monitor.credentials import CampaignMonitorSettings


class ImporterSettings(BaseSettings):
    """Settings of the import connector, from `IMPORT_...` environment variables."""

    model_config = SettingsConfigDict(env_prefix="IMPORT_", frozen=True)

    group: str = Field(
        default="cm-import", min_length=1, description="Consumer group that shares import tasks; also names fences."
    )
    page_size: int = Field(default=1000, ge=10, le=1000, multiple_of=10, description="Rows asked for at once.")
    pages_in_flight: int = Field(default=4, ge=1, le=64, description="Pages that one process asks for at a time.")
    chains_per_read: int = Field(
        default=8, ge=1, le=64, description="How many chains may share the read of one long list or report."
    )
    schedule_seconds: float = Field(default=1.0, gt=0, description="How often it is checked whether a run is due.")
    retry_attempts: int = Field(
        default=5, ge=1, description="Attempts at a page in a row; then it is parked and others go on."
    )
    park_seconds: float = Field(default=60.0, gt=0, description="How long a page is parked before it is tried again.")
    recipients_after_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="Age of a campaign from which its recipients are read; before, it may still be being sent.",
    )
    hot_hours: float = Field(default=72.0, ge=0, description="Younger campaigns are checked in every run.")
    warm_days: float = Field(default=30.0, ge=0, description="Younger campaigns are checked daily, older ones weekly.")

    def consumer_group(self, topic_prefix: str) -> str:
        """Return the group as brokers know it: installations that share brokers differ by their prefix."""
        return topic_prefix + self.group

    @property
    def max_chains(self) -> int:
        """How many chains share one read: two for each page in flight, since each border costs a call more."""
        return min(self.chains_per_read, 2 * self.pages_in_flight)

    def client_settings(self, campaign_monitor: CampaignMonitorSettings) -> CampaignMonitorSettings:
        """Return the settings of the import connector's client: it may have all its pages in flight, also of one list.

        The bounds of the environment spare lists that the exporter writes to; this process only reads.
        """
        enough = max(campaign_monitor.requests_in_flight, self.pages_in_flight)
        bounds = {"requests_in_flight": enough, "requests_in_flight_per_list": enough}
        return campaign_monitor.model_copy(update=bounds)
