"""The job that the Python systems do, event by event, comes to what the oracle works out from all events at once."""

from typing import Any

import orjson
import pytest

from benchmarks.compare_profiles import canonical_bytes, compare
from benchmarks.oracle import expected_profiles
from benchmarks.peers.profile_update import update
from benchmarks.workloads import MILLION, ROUND_ROBIN, ZIPF, Workload, profile_events


@pytest.mark.parametrize("workload", [ROUND_ROBIN, ZIPF, MILLION, Workload("few", 7, "uniform")], ids=lambda w: w.name)
def test_folding_equals_summarising(workload: Workload) -> None:
    folded: dict[str, dict[str, Any]] = {}
    for key, value in profile_events(workload, 3_000):
        update(folded.setdefault(key.decode(), {}), orjson.loads(value))
    expected = expected_profiles(profile_events(workload, 3_000))
    assert {key: canonical_bytes(value) for key, value in folded.items()} == {
        key: canonical_bytes(value) for key, value in expected.items()
    }


def test_the_comparison_names_what_differs() -> None:
    left = {"a": b'{"n":1}', "b": b'{"n":2,"m":1}', "c": b"{}"}
    right = {"a": b'{"n":1}', "b": b'{"n":3}', "d": b"{}"}
    result = compare(left, right)
    assert not result.same
    assert (result.equal, result.only_left, result.only_right) == (1, ["c"], ["d"])
    assert result.different == {"b": ["m is 1 left and 'nothing' right", "n is 2 left and 3 right"]}


def test_equal_numbers_are_equal_bytes() -> None:
    assert canonical_bytes({"b": 1.0, "a": [2.0]}) == canonical_bytes({"a": [2], "b": 1})
    assert canonical_bytes({"a": 1.5}) != canonical_bytes({"a": 1})
