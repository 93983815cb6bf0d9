"""The tables that documents show (topics, settings, mapping functions), and the description of the console's API."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.importer.settings import ImporterSettings
from connectors.kafka.settings import KafkaSettings
from connectors.metrics import ScrapedGauge
from connectors.webhook.settings import WebhookSettings
from schemas.export import BY_OTHERS, GENERATED
from schemas.topic import Topic
from schemas.topics import TOPICS
from streams.batches import BATCH_METRICS
from streams.cli.exit_codes import CODES, UNUSUAL, USUAL
from streams.console.settings import ConsoleSettings
from streams.export.settings import ExportSettings
from streams.mapping.functions import FAMILIES
from streams.process import StreamsSettings
from streams.profile.agent import PROFILE_METRICS
from streams.profile.settings import ProfileSettings

SETTINGS: tuple[type[BaseSettings], ...] = (
    StreamsSettings,
    KafkaSettings,
    CampaignMonitorSettings,
    ControlSettings,
    ExportSettings,
    ProfileSettings,
    ImporterSettings,
    WebhookSettings,
    ConsoleSettings,
)


def setting_rows() -> Iterator[tuple[str, str, str]]:
    """Yield (environment variable, default, meaning) of each setting, class by class."""
    for settings in SETTINGS:
        prefix = str(settings.model_config.get("env_prefix", ""))
        for name, field in settings.model_fields.items():
            yield (
                f"{prefix}{name}".upper(),
                _default(field.get_default(call_default_factory=True)),
                field.description or "",
            )


def settings_table() -> str:
    """Return the README's table of settings."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in setting_rows()]
    return "\n".join(lines)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        return "" if not value.get_secret_value() else "(secret)"
    if value in (None, "", [], {}):
        return ""
    return f"`{value}`"


README = Path(__file__).parent.parent / "README.md"
MAPPING = README.parent / "docs" / "mapping.md"
METRICS = README.parent / "docs" / "metrics.md"
WITH_METRICS = (
    "connectors.campaign_monitor.metrics",
    "connectors.control.metrics",
    "connectors.importer.chains",
    "connectors.importer.fetch",
    "connectors.importer.metrics",
    "connectors.importer.slots",
    "connectors.metrics",
    "connectors.process",
    "connectors.webhook.registration.manager",
    "connectors.webhook.server",
    "streams.export.metrics",
    "streams.process",
    "streams.profile.worker",
)
"""Modules that make metrics; a test looks that there are no others."""
OPENAPI = GENERATED / BY_OTHERS


def topics_table() -> str:
    """Return the table of public topics and their dead-letter topics."""
    lines = ["| topic | key | value | written by | cleanup | content |", "|---|---|---|---|---|---|"]
    lines += [_topic_row(topic) for topic in TOPICS.values() if topic.public]
    return "\n".join(lines)


def functions_tables() -> str:
    """Return a table of mapping functions for each family, with an example that the tests evaluate."""
    blocks = []
    for family, functions in FAMILIES.items():
        lines = [f"**{family}**", "", "| function | | example | gives |", "|---|---|---|---|"]
        for name, function in functions.items():
            meaning = (function.of.__doc__ or "").strip()
            example, value = next(iter(function.examples.items()))
            given = "no value" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
            lines.append(f"| `{name}({function.arguments})` | {meaning} | `{example}` | {given} |".replace("\\|", "|"))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def exit_codes_table() -> str:
    """Return the table of exit codes: what each means, and the commands that end with it."""
    lines = ["| code | meaning | of |", "|---|---|---|"]
    for code, meaning in CODES.items():
        with_it = [command for command, codes in UNUSUAL.items() if code in codes]
        without = [command for command, codes in UNUSUAL.items() if code not in codes]
        named = f"all but {_listed(without)}" if without else "all"
        lines.append(f"| {code} | {meaning} | {named if code in USUAL else _listed(with_it)} |")
    return "\n".join(lines)


class ShownMetric(NamedTuple):
    """A metric as documents and alerts name it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def all_metrics() -> list[ShownMetric]:
    """Return every metric of every process, by name."""
    found = [ShownMetric(*metric[:2], metric.labels, metric.help) for metric in (*BATCH_METRICS, *PROFILE_METRICS)]
    for module in WITH_METRICS:
        for value in vars(import_module(module)).values():
            if isinstance(value, ScrapedGauge | Counter | Gauge | Histogram):
                kind = value._type
                name = value._name + ("_total" if kind == "counter" else "")
                found.append(ShownMetric(name, kind, tuple(value._labelnames), value._documentation))
    return sorted(set(found))


def metrics_table() -> str:
    """Return the table of metrics, with a heading for each area."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in all_metrics():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines)


def _listed(commands: list[str]) -> str:
    return ", ".join(f"`{command}`" for command in commands)


TABLES: dict[Path, dict[str, Callable[[], str]]] = {
    README: {"topics": topics_table, "settings": settings_table, "exit codes": exit_codes_table},
    MAPPING: {"functions": functions_tables},
    METRICS: {"metrics": metrics_table},
}


def filled(document: Path) -> str:
    """Return a document's text with every generated table filled in."""
    text = document.read_text(encoding="utf-8")
    for name, make in TABLES[document].items():
        table = make()
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, found, rest = text.partition(begin)
        _old, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{document.name} has no place for {name}: it needs the lines {begin} and {end}")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def _topic_row(topic: Topic) -> str:
    model = f"[JSON Schema](schemas/generated/{topic.role}.schema.json)" if topic.model else "as described"
    return f"| `{topic.role}` | {topic.key} | {model} | {topic.writer} | {topic.cleanup} | {topic.doc} |"


def openapi() -> str:
    """Return the description of the console's API."""
    from streams.console.api.openapi import openapi_json

    return openapi_json()


if __name__ == "__main__":
    OPENAPI.write_text(openapi(), encoding="utf-8")
    for document in TABLES:
        document.write_text(filled(document), encoding="utf-8")
