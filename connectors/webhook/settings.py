"""Where webhooks arrive and what is accepted."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class WebhookSettings(BaseSettings):
    """Settings of the webhook receiver, from `WEBHOOK_...` environment variables."""

    model_config = SettingsConfigDict(env_prefix="WEBHOOK_", frozen=True)

    public_url: str = Field(
        default="",
        description="Address under which Campaign Monitor reaches this receiver, such as `https://hooks.example.com`. "
        "Empty: no webhooks are registered, and lists are polled once an interval.",
    )
    secret: SecretStr = Field(
        description="Secret from which the lists' paths follow, 16 characters at least. A new one renews all webhooks."
    )
    previous_secret: SecretStr | None = Field(
        default=None, description="The secret before, while posts to its paths are still to be accepted."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; `0.0.0.0` in a container.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 chooses a free one.")
    max_body_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=65_536,
        description="Largest post, also after decompression; more is refused (413).",
    )
    max_posts_in_flight: int = Field(
        default=32,
        ge=1,
        description="Posts handled at a time; so many times WEBHOOK_MAX_BODY_BYTES is what all bodies may take. "
        "Handling one takes up to 13 times its size in memory.",
    )
    publish_timeout_seconds: float = Field(
        default=8.0, gt=0, description="Answer 503 when the broker has not taken the events by then."
    )
    echo_wait_seconds: float = Field(
        default=1.0,
        ge=0,
        description="How long events of a list that we export to wait for the receipt of our own write.",
    )
    check_seconds: float = Field(default=300.0, gt=0, description="How often the webhooks' state is checked.")
    group: str = Field(
        default="cm-webhooks",
        min_length=1,
        description="Consumer group whose one active member checks and repairs webhooks.",
    )

    def consumer_group(self, topic_prefix: str) -> str:
        """Return the group as brokers know it: installations that share brokers differ by their prefix."""
        return topic_prefix + self.group

    @field_validator("secret", "previous_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have 16 characters at least")
        return value

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The secrets whose paths are accepted, the one in use first."""
        return (self.secret,) if self.previous_secret is None else (self.secret, self.previous_secret)
