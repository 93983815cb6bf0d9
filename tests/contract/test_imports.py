"""Imports point upwards only: schemas, then connectors, then streams; streams/batches knows the Kafka clients only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
OURS = {"schemas", "connectors", "streams", "tests", "benchmarks"}
ALLOWED = {
    "schemas": {"schemas"},
    "connectors": {"schemas", "connectors"},
    "streams": {"schemas", "connectors", "streams"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_upwards_only(package):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in OURS - ALLOWED[package]
    ]
    assert not wrong


def test_record_batches_know_the_kafka_clients_and_nothing_else_of_ours():
    wrong = [
        f"{path.name} imports {name}"
        for path in (ROOT / "streams" / "batches").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in OURS
        and not name.startswith(("streams.batches", "connectors.kafka"))
        and name != "schemas.dead_letter"
    ]
    assert not wrong


def test_the_domain_is_pure():
    shells = {"faust", "aiohttp", "aiokafka", "confluent_kafka", "asyncio", "os", "time", "rocksdict", "structlog"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / "streams" / "domain").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in shells
    ]
    assert not wrong


def test_connectors_know_no_faust():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / "connectors").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in {"faust", "mode"}
    ]
    assert not wrong
