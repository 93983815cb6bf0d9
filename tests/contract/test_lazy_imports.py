"""What a command imports before it does anything: who types it waits for that. Found in the code, not by the clock."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from streams.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]
OURS = ("streams", "connectors", "schemas")

FRAMEWORKS = {"faust", "mode", "rocksdict", "aiohttp", "aiokafka", "uvloop"}
"""Each costs a command tenths of a second of CPU."""
NEEDED = {
    "streams.cli.up": {"aiohttp"},
    "streams.cli.demo": {"aiohttp"},
    "streams.cli.processes": {"aiohttp"},
    "streams.cli.imports": {"aiohttp"},
    "streams.cli.export": {"aiohttp"},
}
"""Processes, and commands that are about an account."""


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def at_import(nodes: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run when a module is imported: not those of functions, nor those for types."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef) and not is_for_types(node):
            for name in ("body", "orelse", "finalbody"):
                yield from at_import(getattr(node, name, []))


def file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.exists()), None)


def lazily(module: str, name: str) -> str | None:
    """Return the module that a lazy package imports a name from."""
    package = __import__(module, fromlist=["_HOME"])
    home = getattr(package, "_HOME", {}).get(name)
    return f"{module}.{home}" if home else None


@cache
def imported(module: str) -> frozenset[str]:
    """Return the modules that a module of ours imports itself, packages around them included."""
    found: set[str] = {module.rpartition(".")[0]} - {""}
    file = file_of(module)
    for node in at_import(ast.parse(file.read_text()).body) if file else ():
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            is_package = file is not None and file.name == "__init__.py"
            parts = module.split(".")[: len(module.split(".")) - node.level + is_package]
            base = ".".join([*parts, base] if base else parts)
        found.add(base)
        if base.startswith(OURS):
            for alias in node.names:
                found |= {lazily(base, alias.name) or f"{base}.{alias.name}"}
    return frozenset(found)


def brought_by(module: str) -> set[str]:
    """Return all modules that importing one of ours brings, of others only those that ours name."""
    waiting, seen = [module], {module}
    while waiting:
        for name in imported(waiting.pop()) - seen:
            seen.add(name)
            if name.partition(".")[0] in OURS and file_of(name):
                waiting.append(name)
    return seen


def packages_of(module: str) -> set[str]:
    """Return the top-level packages of others that importing a module brings."""
    return {name.partition(".")[0] for name in brought_by(module)} - set(OURS)


def test_what_is_imported_is_found() -> None:
    assert {"faust", "rocksdict", "aiohttp"} <= packages_of("streams.export.worker")
    assert "faust" not in packages_of("streams.batches.core.errors")


@pytest.mark.parametrize("module", sorted({module for module, _attribute, _about in VERBS.values()}))
def test_a_command_imports_no_framework_that_it_does_not_need(module: str) -> None:
    assert packages_of(module) & FRAMEWORKS == NEEDED.get(module, set())


def test_the_list_of_commands_and_completion_need_no_settings_and_no_models() -> None:
    for module in ("streams.cli.__main__", "streams.cli.verbs", "streams.cli.completion"):
        assert not packages_of(module) & {"pydantic", "pydantic_settings", "confluent_kafka", "structlog", "rich"}


def test_mappings_are_checked_without_a_client_of_kafka() -> None:
    assert "confluent_kafka" not in packages_of("streams.cli.mapping")


def test_a_topic_s_name_needs_no_model() -> None:
    assert "pydantic" not in packages_of("schemas.topics")


@pytest.mark.parametrize("module", ["streams.cli.profile", "streams.control.people"])
def test_showing_a_profile_needs_no_models_and_no_tables(module: str) -> None:
    """Each model of a topic takes milliseconds."""
    seen = brought_by(module)
    assert not seen & {"rich", "rich.console", "rich.table", "schemas.cm_profile", "schemas.audience_delivery"}
    assert not [name for name in seen if name.startswith(("connectors.campaign_monitor", "streams.export"))]


@pytest.mark.parametrize(
    "module",
    [
        "streams.cli.__main__",
        "streams.cli.quick",
        "connectors.kafka.plain_settings",
        "connectors.kafka.broker_check",
        "streams.control.people",
    ],
)
def test_the_quick_way_to_a_profile_needs_no_pydantic_and_no_typer(module: str) -> None:
    assert not packages_of(module) & {"pydantic", "pydantic_settings", "typer", "click", "rich"}


def test_only_the_simulator_imports_the_simulator() -> None:
    assert not [name for name in brought_by("streams.cli.processes") if "devkit" in name]


def test_logs_are_written_without_rich() -> None:
    code = "import sys, connectors.logs; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
