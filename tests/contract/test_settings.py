"""Names of settings, in messages, comments, documents and files that start processes: each is a setting of the code."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.devkit.embedded_kafka.launch import as_environment, broker_properties
from streams import readme
from streams.cli.authorizations import API_KEY_VARIABLE

ROOT = Path(__file__).parents[2]
SETTINGS = {name for name, _default, _meaning in readme.setting_rows()}
PREFIXES = {str(settings.model_config.get("env_prefix", "")) for settings in readme.SETTINGS}
NAME = re.compile(r"(?<![A-Za-z0-9_.$])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![A-Za-z0-9_])")

BROKER = {
    *as_environment(broker_properties(listeners={"PLAINTEXT": "h:1"}, advertised="h:1", controller="h:1")),
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_LOG_DIRS",
}
"""What the broker's container reads: Kafka's own properties, by its rule for names."""
NOT_OURS = {
    API_KEY_VARIABLE: "read by `auth add`, once; no setting of a process",
    "BATCHES_KILL_AT": "faults on purpose, for tests",
    "FAULT_KILLS": "how long the fault tests are",
    "FAULT_API_EXAMPLES": "how many requests each operation of the API gets in the fault tests",
    "FAULT_EXAMPLES": "how long the fault tests are",
    "FAULT_SEED": "the dice of the fault tests",
    "JAVA_HOME": "of the machine",
    "MAKEFILE_LIST": "make's",
    "LIST_ID": "a place in an example",
    "CLIENT_ID": "a place in an example",
    "SIMULATOR_PORT": "kept by `make run`, for its next start",
    "GF_AUTH_ANONYMOUS_ENABLED": "Grafana's",
    "GF_AUTH_ANONYMOUS_ORG_ROLE": "Grafana's",
    "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "Grafana's",
    "SASL_SSL": "Kafka's security protocol",
    "SASL_PLAINTEXT": "Kafka's security protocol",
}
"""Names in documents, and files that start processes, that are no settings: why."""


def documents() -> list[Path]:
    """Return what people read and type from."""
    return [*ROOT.glob("docs/*.md"), *(ROOT / name for name in ("README.md", "docker-compose.yml", "Makefile"))]


def code() -> list[Path]:
    """Return the code that people run."""
    return [path for room in ("streams", "connectors", "schemas") for path in sorted((ROOT / room).rglob("*.py"))]


def texts(path: Path) -> Iterator[str]:
    """Yield the strings and comments of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    with path.open("rb") as file:
        yield from (token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT)


SUFFIXES = tuple("_" + name.removeprefix(prefix) for prefix in PREFIXES for name in SETTINGS if name.startswith(prefix))


def wrong_in_document(text: str) -> set[str]:
    """Return the names of a document that are neither settings nor known as something else."""
    return set(NAME.findall(text)) - SETTINGS - BROKER - NOT_OURS.keys()


def wrong_in_code(text: str) -> set[str]:
    """Return the names of a text in the code that begin like settings, or end like one, and are none.

    Constants are capitals, too, so a name that does neither may be one.
    """
    named = {name for name in NAME.findall(text) if name.startswith(tuple(PREFIXES)) or ("_" + name).endswith(SUFFIXES)}
    return named - SETTINGS - BROKER - NOT_OURS.keys()


def test_the_rule_finds_a_name_that_is_no_setting() -> None:
    assert {"KAFKA_", "CM_", "STREAMS_", "EXPORT_", "PROFILE_"} <= PREFIXES
    assert wrong_in_code("set PROFILE_HTTP_PROT, or EXPORT_APP_ID") == {"PROFILE_HTTP_PROT"}
    assert wrong_in_code("http://HTTP_HOST, and MAX_ROWS") == {"HTTP_HOST"}
    assert wrong_in_document("`IMPORTER_DAYS=1` and `KAFKA_NODE_ID`, `KAFKA_TOPICS`") == {"IMPORTER_DAYS"}


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_documents_name_only_settings_that_exist(path: Path) -> None:
    assert wrong_in_document(path.read_text()) == set()


def test_messages_and_comments_name_only_settings_that_exist() -> None:
    suspected = [path for path in code() if wrong_in_code(path.read_text())]
    wrong = {
        str(path.relative_to(ROOT)): names
        for path in suspected
        for text in texts(path)
        if (names := wrong_in_code(text))
    }
    assert wrong == {}


def test_what_is_no_setting_is_named_somewhere() -> None:
    """The list has nothing that was renamed or removed."""
    everything = "".join(path.read_text() for path in (*documents(), *code()))
    assert [name for name in NOT_OURS if name not in everything] == []
