"""How far a run is, as people see it: by list, campaign and journey (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from connectors.importer.tasks.sources import undivided
from schemas.import_task import ChainProgress, RunProgress


@dataclass(frozen=True, slots=True)
class OverviewLine:
    """One list, campaign or journey of a run. Rows are those published; `expected` is known once a page was read."""

    group: str
    chains: int
    done: int
    failed: int
    waiting: int
    pages: int
    rows: int
    expected: int
    repeats: int
    problem: str | None
    """Of a chain that waits or failed, in a sentence."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to read."""
        return self.done + self.failed == self.chains


@dataclass(frozen=True, slots=True)
class Overview:
    """A run, and its lines in the order of their names; what is still open comes first."""

    run: RunProgress
    lines: tuple[OverviewLine, ...]
    rows: int
    """Rows that the run has published so far."""
    expected: int
    """Rows that it will have published, as far as is known by now."""

    def left(self, rows_per_second: float) -> timedelta | None:
        """Return the time left at this rate, None when nothing is read."""
        if rows_per_second <= 0:
            return None
        return timedelta(seconds=ceil(max(0, self.expected - self.rows) / rows_per_second))


def overview(run: RunProgress, chains: Iterable[ChainProgress]) -> Overview:
    """Return how far a run is; chains of earlier runs are left out."""
    groups: dict[str, list[ChainProgress]] = {}
    current = [chain for chain in chains if chain.run == run.run]
    for chain in current:
        groups.setdefault(chain.group or chain.chain, []).append(chain)
    lines = sorted(
        (_line(group, members) for group, members in groups.items()), key=lambda line: (line.ended, line.group)
    )
    if run.state == "done":
        return Overview(run, tuple(lines), run.rows, run.rows)
    # A catch-up reads listings a second time; what the run had published before is kept with the run.
    since = run.swept_at
    counted = [chain.tally.rows for chain in current if since is None or chain.started_at >= since]
    rows = run.rows + sum(counted)
    expected = sum(max(line.expected, line.rows) for line in lines)
    return Overview(run, tuple(lines), rows, max(rows, expected))


def _line(group: str, chains: list[ChainProgress]) -> OverviewLine:
    # Parts of a long read name the whole of it as their total, so it counts once.
    totals: dict[str, int] = {}
    for chain in chains:
        name = undivided(chain.chain)
        totals[name] = max(totals.get(name, 0), chain.tally.rows_total or 0)
    ended = {undivided(chain.chain): True for chain in chains}
    for chain in chains:
        ended[undivided(chain.chain)] &= chain.state == "done"
    published: dict[str, int] = {}
    for chain in chains:
        published[undivided(chain.chain)] = published.get(undivided(chain.chain), 0) + chain.tally.rows
    expected = sum(published[name] if ended[name] else max(total, published[name]) for name, total in totals.items())
    return OverviewLine(
        group=group,
        chains=len(chains),
        done=sum(chain.state == "done" for chain in chains),
        failed=sum(chain.state == "failed" for chain in chains),
        waiting=sum(chain.state == "parked" for chain in chains),
        pages=sum(chain.tally.pages for chain in chains),
        rows=sum(chain.tally.rows for chain in chains),
        expected=expected,
        repeats=sum(chain.tally.repeats for chain in chains),
        problem=next((chain.problem for chain in chains if chain.problem and chain.state != "done"), None),
    )
