"""Compares two sets of profiles one by one, as canonical JSON, and reports where they differ.

    python -m benchmarks.compare_profiles --bootstrap localhost:9092 cm_profile other_profile
    python -m benchmarks.compare_profiles left.jsonl right.jsonl

A file holds one `{"key": "...", "profile": {...}}` a line. Exit code 1 when a profile differs or is missing.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


def canonical(value: Any) -> Any:
    """Return the value with numbers in one form (1.0 is 1), so that equal JSON numbers become equal bytes."""
    if isinstance(value, dict):
        return {name: canonical(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def canonical_bytes(profile: Any) -> bytes:
    """Return a profile as JSON with sorted names and numbers in one form. Lists keep their order."""
    return orjson.dumps(canonical(profile), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def canonical_json(text: bytes) -> bytes:
    """Return the JSON text in canonical form."""
    return canonical_bytes(orjson.loads(text))


@dataclass(slots=True)
class Comparison:
    """The result: how many profiles are equal, which keys one side lacks, and which fields differ."""

    equal: int = 0
    only_left: list[str] = field(default_factory=list)
    only_right: list[str] = field(default_factory=list)
    different: dict[str, list[str]] = field(default_factory=dict)
    """Key to one sentence for each field that differs."""

    @property
    def same(self) -> bool:
        return not (self.only_left or self.only_right or self.different)

    def __str__(self) -> str:
        if self.same:
            return f"{self.equal:,} profiles equal"
        counts = (self.equal, len(self.different), len(self.only_left), len(self.only_right))
        lines = ["{:,} profiles equal, {:,} differ, {:,} only left, {:,} only right".format(*counts)]
        lines += [f"  {key}: {'; '.join(differences)}" for key, differences in list(self.different.items())[:10]]
        lines += [f"  only left: {key}" for key in self.only_left[:5]]
        lines += [f"  only right: {key}" for key in self.only_right[:5]]
        return "\n".join(lines)


def compare(left: Mapping[str, bytes], right: Mapping[str, bytes]) -> Comparison:
    """Compare profiles by key; the values are canonical JSON."""
    result = Comparison()
    result.only_left = sorted(left.keys() - right.keys())
    result.only_right = sorted(right.keys() - left.keys())
    for key in sorted(left.keys() & right.keys()):
        if left[key] == right[key]:
            result.equal += 1
        else:
            result.different[key] = _differences(orjson.loads(left[key]), orjson.loads(right[key]))
    return result


def _differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    absent = "nothing"
    return [
        f"{name} is {left.get(name, absent)!r} left and {right.get(name, absent)!r} right"
        for name in sorted(left.keys() | right.keys())
        if left.get(name, absent) != right.get(name, absent)
    ]


def _read(source: str, bootstrap: str | None) -> dict[str, bytes]:
    if bootstrap is None:
        rows = (orjson.loads(line) for line in Path(source).read_bytes().splitlines() if line.strip())
        return {row["key"]: canonical_bytes(row["profile"]) for row in rows}
    from benchmarks.topics import Topics

    return {key.decode(): canonical_json(value) for key, value in Topics(bootstrap).latest(source).items()}


def main() -> int:
    """Compare two topics or two files and print the result."""
    parser = argparse.ArgumentParser(description="Compare two sets of profiles, one by one.")
    parser.add_argument("--bootstrap", help="broker that holds both topics; without it the arguments are files")
    parser.add_argument("left")
    parser.add_argument("right")
    found = parser.parse_args()
    result = compare(_read(found.left, found.bootstrap), _read(found.right, found.bootstrap))
    print(result)
    return 0 if result.same else 1


if __name__ == "__main__":
    sys.exit(main())
