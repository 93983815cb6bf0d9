"""What `make faults` prints and writes: a table, and build/faults.json, a line for each fault.

A test hands over what it counted by `record_property` (a property of pytest's own): `runs`, `obligations`, `lost`,
`doubled`, `wrong`, `stuck` and `longest_recovery_s`. What a test did not count stays empty; that it passed then means
what the test asserts.
"""

import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.catalog import FAULTS, Fault

ROOT = Path(__file__).parents[2]
FILE = ROOT / "build" / "faults.json"
SUMS = ("runs", "obligations", "lost", "doubled", "wrong", "stuck")
OTHERS = ("tests/faults/", "tests/integration/console/test_api_schema.py")
"""What FAULT=all plays beside what the catalog names."""
COLUMNS = (*SUMS, "longest_recovery_s")


class Played(NamedTuple):
    """One test that was played."""

    nodeid: str
    outcome: str
    seconds: float
    counted: Mapping[str, float]


class FaultReport:
    """The plugin. FAULT=12 keeps the tests of one fault, FAULT=all those of all; without it nothing is done."""

    def __init__(self) -> None:
        self._wanted = os.environ.get("FAULT", "")
        if self._wanted not in ("", "all", *(str(fault.number) for fault in FAULTS)):
            raise pytest.UsageError(f"FAULT={self._wanted}: give a number of docs/faults.md, or all")
        self._played: list[Played] = []

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the tests that are wanted."""
        if not self._wanted:
            return
        kept: list[pytest.Item] = []
        others: list[pytest.Item] = []
        for item in items:
            (kept if self._is_wanted(item.nodeid) else others).append(item)
        config.hook.pytest_deselected(items=others)
        items[:] = kept

    def _is_wanted(self, nodeid: str) -> bool:
        if self._wanted == "all":
            return nodeid.startswith(OTHERS) or bool(numbers_of(nodeid))
        return int(self._wanted) in numbers_of(nodeid)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what came of a test."""
        if report.when == "call" or report.failed:
            counted = {str(name): value for name, value in report.user_properties if name in COLUMNS}
            self._played.append(Played(report.nodeid, report.outcome, report.duration, counted))

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print the table and write the file, in the controlling process."""
        if self._wanted and not hasattr(config, "workerinput"):
            terminalreporter.write_line(table(write(self._played)))
            terminalreporter.write_line(f"written to {FILE.relative_to(ROOT)}")


def numbers_of(nodeid: str) -> list[int]:
    """Return the faults that a test plays, by its node id."""
    plain = nodeid.partition("[")[0].removeprefix("tests/")
    return [fault.number for fault in FAULTS if any(plain == test or _is_in(plain, test) for test in fault.tests)]


def lines(played: Iterable[Played]) -> list[dict[str, Any]]:
    """Return what came of each fault that was played: sums over its tests, and the longest recovery of all."""
    found: dict[int, list[Played]] = defaultdict(list)
    for test in played:
        for number in numbers_of(test.nodeid):
            found[number].append(test)
    return [_line(fault, found[fault.number]) for fault in FAULTS if fault.number in found]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the lines as text, for a terminal."""
    head = ("fault", "what", "tests", "failed", "seconds", *COLUMNS)
    cells = [head, *(tuple("" if row[name] is None else str(row[name]) for name in head) for row in rows)]
    widths = [max(len(cell[column]) for cell in cells) for column in range(len(head))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)) for cell in cells)


def write(played: Iterable[Played], file: Path = FILE) -> list[dict[str, Any]]:
    """Write the file; returns its lines. What earlier runs found of other faults stays."""
    rows = lines(played)
    stamp = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": platform.platform()}
    earlier = {row["fault"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    kept = earlier | {row["fault"]: row | stamp for row in rows}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([kept[number] for number in sorted(kept)], indent=1) + "\n")
    return rows


def _is_in(nodeid: str, place: str) -> bool:
    return nodeid.startswith((place + "::", place + "/")) or (place.endswith("/") and nodeid.startswith(place))


def _line(fault: Fault, tests: Sequence[Played]) -> dict[str, Any]:
    counted = {name: _sum(test.counted.get(name) for test in tests) for name in SUMS}
    recoveries = [test.counted["longest_recovery_s"] for test in tests if "longest_recovery_s" in test.counted]
    return {
        "fault": fault.number,
        "what": fault.what,
        "tests": len(tests),
        "failed": sum(test.outcome == "failed" for test in tests),
        "seconds": round(sum(test.seconds for test in tests)),
        **counted,
        "longest_recovery_s": round(max(recoveries), 1) if recoveries else None,
    }


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
