"""The keys that seal secrets in the control plane. Environment prefix `CONTROL_`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ControlSettings(BaseSettings):
    """Every process that uses an authorization needs the key that it was sealed with."""

    model_config = SettingsConfigDict(env_prefix="CONTROL_", env_file=".env", extra="ignore")

    encryption_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals authorizations: 32 bytes in base64, made by `cm-streams auth new-key`.",
    )
    old_encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Former keys, separated by commas: they still open what they sealed, until it is sealed anew.",
    )
