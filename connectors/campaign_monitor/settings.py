"""Where Campaign Monitor is, who we are, and how long a call may take."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

# A wrong scheme would look like a network that never comes back.
_URL = r"^https?://[^/\s]+(/\S*)?$"


class CampaignMonitorSettings(BaseSettings):
    """Settings of the Campaign Monitor client, from `CM_...` environment variables."""

    model_config = SettingsConfigDict(env_prefix="CM_", frozen=True)

    base_url: str = Field(
        default="https://api.createsend.com/api/v3.3", pattern=_URL, description="The API with its version."
    )
    oauth_url: str = Field(
        default="https://api.createsend.com/oauth",
        pattern=_URL,
        description="Where people authorise; `/token` below it gives tokens.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key of an account or a client, for use without stored authorizations."
    )
    oauth_client_id: str | None = Field(default=None, description="Id of the registered OAuth application.")
    oauth_client_secret: SecretStr | None = Field(default=None, description="Secret of the OAuth application.")
    connect_timeout_seconds: float = Field(default=10, gt=0, description="Time to open a connection.")
    read_timeout_seconds: float = Field(
        default=60, gt=0, description="Time for a whole answer; slow drips count too, it is not a time between bytes."
    )
    import_timeout_seconds: float = Field(
        default=150, ge=120, description="Time for an import of up to 1,000 people: 20 s and more are normal."
    )
    segment_timeout_seconds: float = Field(
        default=150, ge=120, description="Time for reading or changing a segment, the slowest calls that are known."
    )
    refresh_timeout_seconds: float = Field(default=30, gt=0, description="Time for one OAuth token request.")
    refresh_early_seconds: float = Field(
        default=86_400, ge=0, description="Refresh an access token that has less than this left."
    )
    requests_in_flight: int = Field(default=4, ge=1, description="Calls at the same time per account.")
    requests_in_flight_per_list: int = Field(default=4, ge=1, description="Calls at the same time per list.")
    max_response_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Longer answers are refused; a page of 1,000 rows stays below."
    )
    user_agent: str = Field(default="cm-streams", min_length=1, description="How we name ourselves.")
    zone_overrides: dict[str, str] = Field(
        default_factory=dict,
        description='Time-zone labels that this release does not know, as JSON: `{"(GMT+01:00) New": "Europe/Paris"}`.',
    )
