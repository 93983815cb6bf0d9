"""The catalog of faults names tests that exist, and docs/faults.md lists all of it."""

import ast
import re
from pathlib import Path

import pytest

from tests.faults.catalog import FAULTS
from tests.faults.report import Played, lines, numbers_of

ROOT = Path(__file__).parents[2]


def test_every_fault_is_in_the_catalog() -> None:
    assert [fault.number for fault in FAULTS] == list(range(1, len(FAULTS) + 1))


@pytest.mark.parametrize("test", sorted({test for fault in FAULTS for test in fault.tests}))
def test_what_the_catalog_names_exists(test: str) -> None:
    place, _, name = test.partition("::")
    path = ROOT / "tests" / place
    assert path.exists()
    if name:
        tree = ast.parse(path.read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.number))
def test_a_fault_has_tests_or_is_named_as_missing(fault) -> None:
    assert fault.tests or fault.missing


def test_every_fault_test_is_in_the_catalog() -> None:
    files = sorted((ROOT / "tests/faults").glob("*/test_*.py"))
    unnamed = [
        f"{path.relative_to(ROOT / 'tests')}::{name}"
        for path in files
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        if not numbers_of(f"tests/{path.relative_to(ROOT / 'tests')}::{name}") and path.name not in APPARATUS
    ]
    assert not unnamed, "name the fault in tests/faults/catalog.py"


APPARATUS = {"test_sabotage.py"}
"""What tests the oracle itself."""


def test_the_document_has_every_fault() -> None:
    text = (ROOT / "docs/faults.md").read_text()
    missing = [fault.number for fault in FAULTS if f"**{fault.number}. {fault.what}**: {fault.passes}." not in text]
    assert not missing, "run: python -m tests.faults.table"


def test_what_tests_counted_is_added_up_by_fault() -> None:
    kills = "tests/faults/batches/test_random_kills.py::test_two_workers"
    played = [
        Played(f"{kills}[a]", "passed", 10.0, {"obligations": 1000, "lost": 0, "longest_recovery_s": 2.5}),
        Played(f"{kills}[b]", "failed", 10.0, {"obligations": 500, "lost": 3, "longest_recovery_s": 4.0}),
    ]
    found = {row["fault"]: row for row in lines(played)}
    assert set(found) == {1, 3}
    assert (found[1]["obligations"], found[1]["lost"], found[1]["failed"]) == (1500, 3, 1)
    assert (found[1]["longest_recovery_s"], found[1]["doubled"]) == (4.0, None)
