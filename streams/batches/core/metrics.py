"""Counters and gauges by name and labels, kept as plain numbers; an exporter reads `snapshot()`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One number as an exporter needs it."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: Mapping[str, str]
    value: float


class Metrics:
    """A registry without dependencies. Names are Prometheus style, units in the name, counters end in _total.

    Single numbers are written from any thread; a lost increment between threads is accepted, so counters that tests
    balance are written from the event loop only.
    """

    def __init__(self) -> None:
        self._help: dict[str, tuple[Literal["counter", "gauge"], str]] = {}
        self._values: dict[tuple[str, Labels], float] = {}

    def declare(self, name: str, kind: Literal["counter", "gauge"], description: str) -> None:
        """Give a name its kind and its help text."""
        self._help[name] = (kind, description)

    def count(self, name: str, amount: float = 1, **labels: object) -> None:
        """Add to a counter."""
        key = (name, tuple(sorted((k, str(v)) for k, v in labels.items())))
        self._values[key] = self._values.get(key, 0.0) + amount

    def gauge(self, name: str, value: float, **labels: object) -> None:
        """Set a gauge."""
        self._values[name, tuple(sorted((k, str(v)) for k, v in labels.items()))] = value

    def forget(self, name: str, **labels: object) -> None:
        """Drop one series: a gauge of a partition that is no longer ours."""
        self._values.pop((name, tuple(sorted((k, str(v)) for k, v in labels.items()))), None)

    def value(self, name: str, **labels: object) -> float:
        """One series; 0 when it was never written."""
        return self._values.get((name, tuple(sorted((k, str(v)) for k, v in labels.items()))), 0.0)

    def total(self, name: str) -> float:
        """All series of a name together."""
        return sum(v for (n, _), v in list(self._values.items()) if n == name)

    def snapshot(self) -> Iterator[Sample]:
        """Every number, for an exporter."""
        for (name, labels), value in sorted(list(self._values.items())):  # noqa: C414 - other threads add series meanwhile
            kind, text = self._help.get(name, ("counter" if name.endswith("_total") else "gauge", name))
            yield Sample(name, kind, text, dict(labels), value)
