"""The settings of Kafka where every one that is set is plain: read without pydantic, which takes a command as long as
its answer.

What is not plain (a `.env` file with a setting of Kafka, passwords in files, tokens, names in small letters) and what
is wrong is left to `KafkaSettings`, which has the value or the sentence. `test_plain_settings.py` holds both equal.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connectors.kafka.access import KafkaAccess

PREFIX = "KAFKA_"

DEFAULTS: Mapping[str, Any] = {
    "bootstrap_servers": "",
    "security_protocol": "PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "",
    "sasl_oauth_token_url": "",
    "sasl_oauth_scope": "",
    "ssl_ca_location": None,
    "ssl_certificate_location": None,
    "ssl_key_location": None,
    "ssl_key_password": None,
    "ssl_check_hostname": True,
    "client_id": "cm-streams",
    "client_rack": "",
    "topic_prefix": "",
    "max_message_bytes": 1_048_576,
    "reconnect_backoff_seconds": 0.1,
    "reconnect_backoff_max_seconds": 2.0,
    "session_timeout_seconds": 30.0,
}
"""Of the settings that clients are made with, but for those that cannot be shared: `sasl_password`, `topics`."""

PLAIN = {
    "bootstrap_servers": ".*",
    "security_protocol": "PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL",
    "sasl_mechanism": "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512",
    "sasl_username": ".*",
    "sasl_password": ".*",
    "ssl_ca_location": ".+",
    "ssl_certificate_location": ".+",
    "ssl_key_location": ".+",
    "ssl_key_password": ".*",
    "client_id": ".+",
    "client_rack": ".*",
    "topic_prefix": ".*",
    "partitions": "[1-9][0-9]{0,3}",
    "replication_factor": "[1-9][0-9]{0,3}",
}
"""Setting -> texts that are valid, and mean themselves."""

NOT_PLAIN = frozenset(
    {
        "sasl_password_file",
        "sasl_oauth_token_url",
        "sasl_oauth_scope",
        "ssl_key_password_file",
        "ssl_check_hostname",
        "topics",
        "min_insync_replicas",
        "max_message_bytes",
        "compression",
        "reconnect_backoff_seconds",
        "reconnect_backoff_max_seconds",
        "session_timeout_seconds",
        "delivery_timeout_seconds",
        "transaction_timeout_seconds",
    }
)
"""Settings with which it is left to `KafkaSettings`."""


class PlainSecret:
    """A text that is not shown by accident."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._text

    def __len__(self) -> int:
        return len(self._text)


class PlainSettings(KafkaAccess):
    """Settings as clients are made with, by the texts of an environment."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        values = dict(DEFAULTS, topics={}, sasl_password="")
        for name, text in texts.items():
            values[name] = Path(text) if name.endswith("_location") else text
        for name in ("sasl_password", "ssl_key_password"):
            if values[name] is not None:
                values[name] = PlainSecret(values[name])
        vars(self).update(values)


def plain_settings(environment: Mapping[str, str], env_file: Path = Path(".env")) -> PlainSettings | None:
    """Return the settings, None where `KafkaSettings` has to read them."""
    texts = {}
    for variable, text in environment.items():
        if not variable.upper().startswith(PREFIX):
            continue
        name = variable.upper().removeprefix(PREFIX).lower()
        if name in PLAIN:
            if variable != variable.upper() or re.fullmatch(PLAIN[name], text) is None:
                return None
            texts[name] = text
        elif name in NOT_PLAIN:
            return None
    try:
        if env_file.exists() and PREFIX.lower() in env_file.read_text().lower():
            return None
        settings = PlainSettings(texts)
        settings.check_security()
    except (OSError, ValueError):
        return None
    return settings
