"""What is made for development stays out of production, and the edges have no rings."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
# Commands and the demonstration start the simulator, the broker and supervised processes on this machine.
MAY_USE_DEVKIT = ("connectors/devkit/", "streams/cli/", "streams/demo/")


def imports_of(path: Path) -> set[str]:
    """Return every name of ours that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith(("schemas", "connectors", "streams"))}


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def test_production_imports_nothing_of_the_devkit():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package in ("schemas", "connectors", "streams")
        for path in files_of(package)
        if not str(path.relative_to(ROOT)).startswith(MAY_USE_DEVKIT)
        for name in sorted(imports_of(path))
        if name.startswith("connectors.devkit")
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("connectors/devkit", ("connectors.devkit", "connectors.kafka", "schemas")),
        ("connectors/campaign_monitor", ("connectors.campaign_monitor", "schemas")),
    ],
)
def test_a_room_imports_only_what_it_may(room, allowed):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(room)
        for name in sorted(imports_of(path))
        if name != "connectors" and not name.startswith(allowed)
    ]
    assert not wrong


@pytest.mark.parametrize("room", ["connectors/devkit", "connectors/campaign_monitor"])
def test_a_room_has_no_import_ring(room):
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files_of(room)}
    open_edges = {
        module: {name for name in imports_of(path) if name in modules and name != module}
        for module, path in modules.items()
    }
    while leaves := [module for module, edges in open_edges.items() if not edges]:
        for leaf in leaves:
            del open_edges[leaf]
        for edges in open_edges.values():
            edges.difference_update(leaves)
    assert not open_edges
