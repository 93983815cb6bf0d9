"""Settings of the console, from `CONSOLE_...` environment variables."""

from ipaddress import ip_network
from typing import Self, get_args

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from schemas.control import Role
from streams.console.access.proxy import TrustedProxy

ROLES: dict[str, Role] = {role: role for role in get_args(Role)}


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

    proxy_user_header: str = Field(
        default="",
        description="Header with the user's name, set by a reverse proxy that logs people in; empty: there is none.",
    )
    proxy_groups_header: str = Field(default="", description="Header with the user's groups, separated by commas.")
    proxy_roles: str = Field(
        default="", description="Role of each group: `GROUP=ROLE,GROUP=ROLE`; of several the highest counts."
    )
    proxy_addresses: str = Field(
        default="",
        description="Addresses or networks of that proxy, separated by commas; headers from elsewhere are ignored.",
    )
    proxy_secret: SecretStr | None = Field(
        default=None,
        description="What that proxy sends as `X-Proxy-Secret`, 16 characters at least; else its headers are ignored.",
    )

    @field_validator("setup_token", "proxy_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have 16 characters at least")
        return value

    @model_validator(mode="after")
    def _proxy_is_whole(self) -> Self:
        if self.proxy_user_header:
            if not (self.proxy_addresses or self.proxy_secret):
                raise ValueError("CONSOLE_PROXY_USER_HEADER needs CONSOLE_PROXY_ADDRESSES or CONSOLE_PROXY_SECRET")
            if not (self.proxy_groups_header and self.proxy_roles):
                raise ValueError("CONSOLE_PROXY_USER_HEADER needs CONSOLE_PROXY_GROUPS_HEADER and CONSOLE_PROXY_ROLES")
            self.proxy()
        return self

    def proxy(self) -> TrustedProxy | None:
        """Return whose headers count; None for nobody's. Raises ValueError."""
        if not self.proxy_user_header:
            return None
        networks = [ip_network(text.strip()) for text in self.proxy_addresses.split(",") if text.strip()]
        roles: dict[str, Role] = {}
        for pair in self.proxy_roles.split(","):
            group, _, role = pair.strip().rpartition("=")
            if not group or role not in ROLES:
                raise ValueError(f"CONSOLE_PROXY_ROLES: {pair.strip()!r} is not GROUP=ROLE")
            roles[group.strip()] = ROLES[role]
        secret = None if self.proxy_secret is None else self.proxy_secret.get_secret_value()
        return TrustedProxy(networks, secret, self.proxy_user_header, self.proxy_groups_header, roles)

    def address(self, port: int) -> URL:
        """Return the console's address, with `port` as the one that is listened on."""
        if self.public_url:
            return URL(self.public_url).origin()
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  (compared, not listened on)
        return URL.build(scheme="http", host=host, port=port)
