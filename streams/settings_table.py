"""Every setting of every process, as the README lists them."""

from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.settings import ControlSettings
from connectors.importer.settings import ImporterSettings
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.settings import WebhookSettings
from streams.export.settings import ExportSettings
from streams.profile.settings import ProfileSettings
from streams.settings import StreamsSettings

SETTINGS: tuple[type[BaseSettings], ...] = (
    StreamsSettings,
    KafkaSettings,
    CampaignMonitorSettings,
    ControlSettings,
    ExportSettings,
    ProfileSettings,
    ImporterSettings,
    WebhookSettings,
)


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield (environment variable, default, meaning) of each setting, class by class."""
    for settings in SETTINGS:
        prefix = str(settings.model_config.get("env_prefix", ""))
        for name, field in settings.model_fields.items():
            yield (
                f"{prefix}{name}".upper(),
                _default(field.get_default(call_default_factory=True)),
                field.description or "",
            )


def as_markdown() -> str:
    """Return the README's table of settings."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in rows()]
    return "\n".join(lines)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        return "" if not value.get_secret_value() else "(secret)"
    if value in (None, "", [], {}):
        return ""
    return f"`{value}`"
