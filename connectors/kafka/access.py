"""What clients of Kafka ask of settings, and which combinations are refused: without pydantic, so that a command which
reads one partition need not import it. `KafkaSettings` are these with types checked, `PlainSettings` those of a plain
environment.
"""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from schemas.topics import TopicNames

DEAD_LETTER_ROOM = 65_536
"""A dead letter is its record plus our headers: without room for them the largest records could not be put aside."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SecretText(Protocol):
    """A text that is not shown by accident; pydantic's SecretStr is one."""

    def get_secret_value(self) -> str:
        """Return the text."""


class KafkaAccess:
    """The brokers, the credentials for them and the topics' names, as clients are made with."""

    if TYPE_CHECKING:  # annotations that pydantic sees would be fields, and their order is the README's
        bootstrap_servers: str
        security_protocol: str
        sasl_mechanism: str
        sasl_username: str
        sasl_password: SecretText
        sasl_oauth_token_url: str
        sasl_oauth_scope: str
        ssl_ca_location: Path | None
        ssl_certificate_location: Path | None
        ssl_key_location: Path | None
        ssl_key_password: SecretText | None
        ssl_check_hostname: bool
        client_id: str
        client_rack: str
        topic_prefix: str
        topics: dict[str, str]
        max_message_bytes: int
        reconnect_backoff_seconds: float
        reconnect_backoff_max_seconds: float
        session_timeout_seconds: float

    def check_security(self) -> None:
        """Refuse what no client could connect with. Raises ValueError."""
        if self.uses_sasl and not (self.sasl_username and self.sasl_password.get_secret_value()):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        if (self.ssl_certificate_location is None) != (self.ssl_key_location is None):
            raise ValueError(
                "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION belong together; one is missing"
            )
        for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
            file = getattr(self, name)
            if file is not None and not file.is_file():
                raise ValueError(f"KAFKA_{name.upper()} names {file}, and there is no such file")
        if self.uses_tls:
            self._check_certificates()
        if self.uses_sasl and self.sasl_mechanism == "OAUTHBEARER":
            where = urlsplit(self.sasl_oauth_token_url)
            if not where.hostname or where.scheme not in ("https", "http"):
                raise ValueError("KAFKA_SASL_MECHANISM=OAUTHBEARER needs KAFKA_SASL_OAUTH_TOKEN_URL, https://...")
            if where.scheme == "http" and where.hostname not in LOOPBACK:
                raise ValueError("KAFKA_SASL_OAUTH_TOKEN_URL must begin with https://: a secret is sent there")

    def _check_certificates(self) -> None:
        """Read the PEM files once, so that what is wrong with them is a sentence and no client's failure."""
        try:
            self.ssl_context()
        except (ssl.SSLError, OSError) as failure:
            reason = getattr(failure, "reason", None) or getattr(failure, "strerror", None) or type(failure).__name__
            raise ValueError(
                f"the PEM files cannot be used ({reason}): look at KAFKA_SSL_CA_LOCATION, "
                "KAFKA_SSL_CERTIFICATE_LOCATION, KAFKA_SSL_KEY_LOCATION and KAFKA_SSL_KEY_PASSWORD"
            ) from None

    @property
    def uses_sasl(self) -> bool:
        """Whether the protocol asks for a user name and password."""
        return self.security_protocol.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        """Whether the protocol is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def max_produced_bytes(self) -> int:
        """The producers' own limit: room for a dead letter of the largest record. What counts else is the topic's."""
        return self.max_message_bytes + DEAD_LETTER_ROOM

    def names(self) -> TopicNames:
        """Return the topics' names in use. Raises ValueError when KAFKA_TOPICS names an unknown topic."""
        return TopicNames(self.topic_prefix, self.topics)

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context for clients that take one (aiokafka, Faust), None when the protocol is not encrypted."""
        if not self.uses_tls:
            return None
        context = ssl.create_default_context(cafile=str(self.ssl_ca_location) if self.ssl_ca_location else None)
        context.check_hostname = self.ssl_check_hostname
        if self.ssl_certificate_location and self.ssl_key_location:
            # Never None: a key that has a password would be asked for on the terminal.
            password = self.ssl_key_password.get_secret_value() if self.ssl_key_password else ""
            context.load_cert_chain(self.ssl_certificate_location, self.ssl_key_location, password)
        return context
