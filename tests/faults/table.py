"""docs/faults.md, from the catalog and build/faults.json: `python -m tests.faults.table`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.catalog import FAULTS, Fault
from tests.faults.report import COLUMNS, FILE, ROOT

DOCUMENT = ROOT / "docs" / "faults.md"
HEAD = """# Faults

What this system must survive, what each fault must come to, and the tests that play it. *Exact*: nothing lost, nothing
twice, nothing wrong, judged from outside when all is at rest. `make faults` plays all of them; `make faults FAULT=12
RUNS=20 SEED=7` one, so many times, with these dice. A share of them is in `make test`.

Made by `python -m tests.faults.table` from tests/faults/catalog.py and the last run of `make faults` on record.
"""


def document(rows: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the text of docs/faults.md; `rows`: what runs found, by fault."""
    played = [_figures(fault, rows[fault.number]) for fault in FAULTS if fault.number in rows]
    parts = [HEAD, _covered(), "## The list\n", *(_entry(fault) for fault in FAULTS)]
    if played:
        names = " | ".join(name.replace("_", " ") for name in COLUMNS)
        head = f"| fault | tests | failed | {names} | seconds | when |\n|" + "---|" * (len(COLUMNS) + 5)
        parts += [
            "\n## The last runs\n",
            head,
            *played,
            "",
            "An empty cell: the tests do not count that.",
            _machines(rows),
        ]
    return "\n".join(parts) + "\n"


def _covered() -> str:
    none = [fault.number for fault in FAULTS if not fault.tests]
    thin = [fault.number for fault in FAULTS if fault.tests and fault.missing]
    return f"{len(FAULTS) - len(none)} of {len(FAULTS)} are played. Not yet: {_list(none)}. In part: {_list(thin)}.\n"


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _entry(fault: Fault) -> str:
    tests = ", ".join(f"`{_short(test)}`" for test in fault.tests) or "none yet"
    missing = f" Missing: {fault.missing}." if fault.missing else ""
    return f"**{fault.number}. {fault.what}**: {fault.passes}.{missing}\n{tests}\n"


def _short(test: str) -> str:
    place, _, name = test.partition("::")
    return f"{place} {name}".strip()


def _figures(fault: Fault, row: Mapping[str, Any]) -> str:
    counted = " | ".join("" if row[name] is None else f"{row[name]:,}" for name in COLUMNS)
    return f"| {fault.number} | {row['tests']} | {row['failed']} | {counted} | {row['seconds']} | {row['at'][:10]} |"


def _machines(rows: Mapping[int, Mapping[str, Any]]) -> str:
    return "Machine: " + "; ".join(sorted({str(row["machine"]) for row in rows.values()})) + "."


def main(file: Path = FILE) -> None:
    """Write docs/faults.md."""
    rows = {row["fault"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    DOCUMENT.write_text(document(rows))


if __name__ == "__main__":
    main()
