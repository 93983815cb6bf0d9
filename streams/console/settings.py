"""Settings of the console, from `CONSOLE_...` environment variables."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL


class ConsoleSettings(BaseSettings):
    """Where the console listens, and how long people stay logged in."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address that the console listens on; `0.0.0.0` in a container.")
    port: int = Field(default=8903, ge=0, le=65535, description="Port of the console; 0 = a free one.")
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s?#]+)?/?$",
        description="Address under which browsers reach the console; with `https` its cookie is sent over TLS only. "
        "Empty: CONSOLE_HOST and CONSOLE_PORT. The OAuth application is registered with `/authorized` below it.",
    )
    setup_token: SecretStr | None = Field(
        default=None,
        description="Last part of the set-up link's path, while there is no user; 16 characters at least. "
        "Made up without it.",
    )
    session_seconds: float = Field(
        default=43_200, gt=0, description="Everybody has to log in again after so long, however busy they were."
    )
    idle_seconds: float = Field(default=3_600, gt=0, description="Who does nothing for so long has to log in again.")

    @field_validator("setup_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have 16 characters at least")
        return value

    def address(self, port: int) -> URL:
        """Return the console's address, with `port` as the one that is listened on."""
        if self.public_url:
            return URL(self.public_url).origin()
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  (compared, not listened on)
        return URL.build(scheme="http", host=host, port=port)
