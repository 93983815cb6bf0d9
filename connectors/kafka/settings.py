"""How to reach Kafka, what the topics are called and how they are made. Environment prefix `KAFKA_`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.kafka.access import KafkaAccess

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]


class KafkaSettings(KafkaAccess, BaseSettings):
    """The broker, the credentials for it, and the topics' shape. One instance serves every client of a process."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", env_file=".env", extra="ignore")

    bootstrap_servers: str = Field(
        default="",
        description="Brokers to start from, host:port, separated by commas. Empty: `cm-streams up` starts a broker.",
    )
    security_protocol: SecurityProtocol = Field(default="PLAINTEXT", description="How to talk to the brokers.")
    sasl_mechanism: Mechanism = Field(default="PLAIN", description="How to log in, with a SASL protocol.")
    sasl_username: str = Field(default="", description="User name, with a SASL protocol; the client id of OAUTHBEARER.")
    sasl_password: SecretStr = Field(
        default=SecretStr(""), description="Password, with a SASL protocol; the client secret of OAUTHBEARER."
    )
    sasl_password_file: Path | None = Field(
        default=None, description="File that holds the password, in place of KAFKA_SASL_PASSWORD."
    )
    sasl_oauth_token_url: str = Field(
        default="", description="Token endpoint of the authorization server, with OAUTHBEARER; https."
    )
    sasl_oauth_scope: str = Field(default="", description="Scope to ask a token for, with OAUTHBEARER.")
    ssl_ca_location: Path | None = Field(
        default=None, description="PEM file of the authorities to trust; the system's without it."
    )
    ssl_certificate_location: Path | None = Field(default=None, description="PEM file of the client's certificate.")
    ssl_key_location: Path | None = Field(default=None, description="PEM file of the client's private key.")
    ssl_key_password: SecretStr | None = Field(default=None, description="Password of the private key.")
    ssl_key_password_file: Path | None = Field(
        default=None, description="File that holds the private key's password, in place of KAFKA_SSL_KEY_PASSWORD."
    )
    ssl_check_hostname: bool = Field(default=True, description="The broker's certificate must name its host.")
    client_id: str = Field(default="cm-streams", min_length=1, description="Name in the brokers' logs and quotas.")
    client_rack: str = Field(
        default="",
        description="Rack or zone of this process: sources are read from a replica there, where brokers choose so.",
    )
    topic_prefix: str = Field(default="", description="Goes before the name of every topic.")
    topics: dict[str, str] = Field(
        default_factory=dict,
        description='Names of single topics, as JSON: {"cm_user": "crm.subscribers"}. They take no prefix.',
    )
    partitions: int = Field(
        default=12,
        ge=1,
        description="Partitions of every data topic; the most workers that can share it. "
        "Not to be changed later without `cm-streams stores copy` (docs/batches.md).",
    )
    replication_factor: int | None = Field(
        default=None,
        ge=1,
        description="Replicas of each topic. Without it three, or one per broker where fewer are up.",
    )
    min_insync_replicas: int | None = Field(
        default=None, ge=1, description="Replicas that must have a record. Without it one less than the replicas."
    )
    max_message_bytes: int = Field(
        default=1_048_576, ge=10_000, description="Largest record; also the limit of a profile's encoded size."
    )
    compression: Compression = Field(default="lz4", description="How our producers compress batches of records.")
    reconnect_backoff_seconds: float = Field(
        default=0.1, gt=0, description="Wait before a broker that went away is tried again, at first."
    )
    reconnect_backoff_max_seconds: float = Field(
        default=2.0,
        gt=0,
        description="The same wait after many attempts, doubled each time until then.",
    )
    session_timeout_seconds: float = Field(
        default=30.0, gt=0, description="A member that was silent for so long loses its partitions."
    )
    delivery_timeout_seconds: float = Field(
        default=20.0,
        gt=0,
        description="A record that the brokers did not take in this time has failed, and its source is read again.",
    )
    transaction_timeout_seconds: float = Field(
        default=12.0,
        gt=0,
        description="A transaction of a dead process is aborted after this; until then it hides what came after it.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._read_passwords()
        self.check_security()
        if self.reconnect_backoff_seconds > self.reconnect_backoff_max_seconds:
            raise ValueError(
                "KAFKA_RECONNECT_BACKOFF_SECONDS must be at most KAFKA_RECONNECT_BACKOFF_MAX_SECONDS: "
                f"{self.reconnect_backoff_seconds:g} is more than {self.reconnect_backoff_max_seconds:g}"
            )
        # A paused producer's leftovers must be dead before another worker owns the partition.
        if self.delivery_timeout_seconds >= 0.9 * self.session_timeout_seconds:
            raise ValueError("KAFKA_DELIVERY_TIMEOUT_SECONDS must be less than 0.9 of KAFKA_SESSION_TIMEOUT_SECONDS")
        self.names()
        return self

    def _read_passwords(self) -> None:
        """Replace passwords by the texts of their files, without the line end. Raises ValueError."""
        for name in ("sasl_password", "ssl_key_password"):
            file: Path | None = getattr(self, f"{name}_file")
            if file is None:
                continue
            given = getattr(self, name)
            setting = f"KAFKA_{name.upper()}"
            if given is not None and given.get_secret_value():
                raise ValueError(f"{setting} and {setting}_FILE are both set; one is enough")
            try:
                setattr(self, name, SecretStr(file.read_text().rstrip("\r\n")))
            except (OSError, UnicodeDecodeError) as failure:
                reason = failure.strerror if isinstance(failure, OSError) else "it is not text"
                raise ValueError(f"{setting}_FILE names {file}, which cannot be read: {reason}") from None
