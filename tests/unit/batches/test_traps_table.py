"""docs/faust-traps.md names every trap, and for each of them tests and sabotages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.batches.sabotage import SABOTAGES

ROOT = Path(__file__).parents[3]
TRAPS = {"A": 11, "B": 8, "C": 13, "D": 4, "E": 9, "F": 13, "G": 14}


def table() -> dict[str, str]:
    """Trap -> what shows it."""
    text = (ROOT / "docs/faust-traps.md").read_text()
    rows = re.findall(r"^\| ([A-G]\d+) \| .+ \| .+ \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "one row for each trap"
    return dict(rows)


def test_every_trap_is_in_the_table() -> None:
    assert list(table()) == [f"{letter}{number}" for letter, most in TRAPS.items() for number in range(1, most + 1)]


@pytest.fixture(scope="module")
def tests_of_the_package() -> set[str]:
    modules = ROOT.glob("tests/*/batches/test_*.py")
    return {name for module in modules for name in re.findall(r"def (test_\w+)", module.read_text())}


@pytest.mark.parametrize("trap", table())
def test_what_the_table_names_exists(trap: str, tests_of_the_package: set[str]) -> None:
    shown = table()[trap]
    tests, sabotages = set(re.findall(r"`(test_\w+)`", shown)), set(re.findall(r"sabotage `([\w-]+)`", shown))
    assert tests | sabotages
    assert tests <= tests_of_the_package
    assert sabotages <= SABOTAGES.keys()


def test_every_sabotage_is_in_the_table_or_of_dead_letters() -> None:
    named = {name for shown in table().values() for name in re.findall(r"sabotage `([\w-]+)`", shown)}
    assert SABOTAGES.keys() - named == {"dead-letters-not-kept"}


def test_every_test_of_a_trap_is_in_the_table(tests_of_the_package: set[str]) -> None:
    named = {name for shown in table().values() for name in re.findall(r"`(test_\w+)`", shown)}
    assert {name for name in tests_of_the_package if name.startswith("test_trap_")} - named <= {
        "test_trap_g1_in_order_faust_commits_batch_by_batch"
    }
