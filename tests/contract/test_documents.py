"""The documents name files and tests that exist, and the ways through the tree are as short as they should be."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WAYS = ("membership", "import", "profile", "webhook")


def files_in(text: str) -> list[str]:
    """The files that a text names, from the top of the tree."""
    return re.findall(r"`((?:schemas|connectors|streams|tests|benchmarks|docs)/[\w./-]+\.\w+)`", text)


def way(name: str) -> list[str]:
    """The files that one way passes, in order."""
    return files_in(ARCHITECTURE.partition(f"<!-- way: {name} -->")[2].partition(f"<!-- end: {name} -->")[0])


def room(file: str) -> str:
    """The room of a file: two levels for connectors and streams, one for schemas."""
    parts = file.split("/")
    return parts[0] if parts[0] == "schemas" else "/".join(parts[:2])


@pytest.mark.parametrize("document", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_file_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert [file for file in files_in(text) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("name", WAYS)
def test_a_way_names_each_of_its_files_once(name: str) -> None:
    files = way(name)
    assert len(files) >= 8
    assert len(files) == len(set(files))


def test_an_event_is_followed_to_its_receipt_in_thirty_files_and_four_rooms() -> None:
    files = way("membership")
    assert len(files) <= 30
    assert {room(file) for file in files} == {
        "schemas",
        "connectors/campaign_monitor",
        "streams/batches",
        "streams/export",
    }


def test_every_test_that_a_document_names_exists() -> None:
    defined: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        defined |= set(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))
    missing = [
        f"{path.name}: {name}"
        for path in sorted((ROOT / "docs").glob("*.md"))
        for name in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8"))
        if name not in defined
    ]
    assert missing == []


def test_the_glossary_is_short() -> None:
    rows = re.findall(r"^\| (?!ours|---)", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert 10 < len(rows) <= 30
