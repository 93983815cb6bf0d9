"""Rows of the export suite."""

from typing import Any

from benchmarks.contest import Bench
from benchmarks.results import Result
from benchmarks.systems import OURS, python_versions

GUARANTEE = "one receipt for each change, in order for each person, also over crashes"
VERSIONS = python_versions("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "aiohttp", "orjson")


def row(bench: Bench, workload: str, *, system: str = OURS, guarantee: str = GUARANTEE, **figures: Any) -> Result:
    """Return a row of our worker, or of a peer."""
    return Result(
        suite="export",
        workload=workload,
        system=system,
        guarantee=guarantee,
        versions=VERSIONS() if system == OURS else python_versions("createsend", "confluent-kafka")(),
        quick=bench.quick,
        **figures,
    )
