"""Imports point upwards only: schemas, then connectors, then streams; streams/batches stands alone."""

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


def test_record_batches_import_nothing_of_ours():
    wrong = [
        f"{path.name} imports {name}"
        for path in (ROOT / "streams" / "batches").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in OURS and not name.startswith("streams.batches")
    ]
    assert not wrong


def test_rules_and_mapping_are_pure():
    shells = {"faust", "aiohttp", "aiokafka", "confluent_kafka", "asyncio", "os", "time", "random", "structlog"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room in ("domain", "export/rules")
        for path in (ROOT / "streams" / room).rglob("*.py")
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
