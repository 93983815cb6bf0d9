"""Figures: the median of several runs, and the file that keeps them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.measure import Sample

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row of results.json: the medians of one system on one workload. What does not apply is null."""

    suite: str
    workload: str
    system: str
    events: int
    events_per_s: float | None = None
    cpu_us_per_event: float | None = None
    peak_rss_mb: float | None = None
    resident_mb: float | None = None
    """At rest, after the events."""
    whole_cpu_us_per_event: float | None = None
    """With start-up and everything that was fetched before the first event: a check on the figure between the marks."""
    guarantee: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    limit_fraction: float | None = None
    """Throughput as a share of what a fixed latency of the other side allows."""
    ceiling_fraction: float | None = None
    """Throughput as a share of what the other side itself bears in the same run, with nothing else to do."""
    first_ms: float | None = None
    """From the commit of a backlog to its first accepted change."""
    runs: Sequence[float] = ()
    """events_per_s of each run (or p99_ms, where that is what is measured), in order: the spread behind the median."""
    checked: str = ""
    """How the system's output was found right."""
    note: str = ""
    quick: bool = False

    @classmethod
    def of(cls, samples: Sequence[Sample], **rest: object) -> "Result":
        """Return the medians of runs; rates and memory each have their own median."""
        return cls(
            events=samples[0].events,
            events_per_s=round(median(sample.events_per_s for sample in samples), 1),
            cpu_us_per_event=round(median(sample.cpu_us_per_event for sample in samples), 2),
            peak_rss_mb=round(median(sample.peak_rss_mb for sample in samples), 1),
            whole_cpu_us_per_event=round(
                median(sample.whole_cpu_seconds / sample.events for sample in samples) * 1e6, 2
            ),
            runs=[round(sample.events_per_s, 1) for sample in samples],
            **rest,  # type: ignore[arg-type]  # the caller names the other fields
        )

    def figures(self) -> str:
        """Return the row's figures in a line."""
        known = (
            (self.events_per_s, "{:,.0f}/s"),
            (self.limit_fraction, "{:.0%} of the limit"),
            (self.ceiling_fraction, "{:.0%} of the ceiling"),
            (self.cpu_us_per_event, "{:,.1f} us"),
            (self.peak_rss_mb, "{:,.0f} MiB"),
            (self.resident_mb, "{:,.0f} MiB at rest"),
            (self.first_ms, "first after {:,.0f} ms"),
            (self.p50_ms, "p50 {:,.1f} ms"),
            (self.p99_ms, "p99 {:,.1f} ms"),
        )
        texts = [form.format(value) for value, form in known if value is not None]
        return ", ".join([*texts, *filter(None, (self.checked, self.note))])

    def to_json(self) -> dict[str, object]:
        """Return the row; what was not measured is left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "", (), False)}


def save(results: Iterable[Result], path: Path = RESULTS) -> None:
    """Write the rows to the file. What this run did not measure stays, and quick runs are kept beside full ones."""
    new = [result.to_json() for result in results]
    replaced = {_identity(row) for row in new}
    kept = [row for row in load(path) if _identity(row) not in replaced]
    rows = sorted(kept + new, key=lambda row: (bool(row.get("quick")), str(row["suite"]), str(row["workload"])))
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def load(path: Path = RESULTS) -> list[dict[str, object]]:
    """Return the rows of the file; none when it does not exist."""
    return json.loads(path.read_text()) if path.exists() else []


def _identity(row: Mapping[str, object]) -> tuple[object, ...]:
    return row["suite"], row["workload"], row["system"], bool(row.get("quick"))
