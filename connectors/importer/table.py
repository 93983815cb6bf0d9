"""The progress topic as a table in memory: runs, chains and marks by job (pure; `progress.py` feeds it)."""

from collections.abc import Iterator
from itertools import count

from connectors.importer.outcome import Progress
from connectors.importer.sources import whole
from schemas.import_task import ChainProgress, Claim, ImportProgress, Mark, RunProgress


class ProgressTable:
    """The latest record of every key. A tombstone removes it."""

    def __init__(self) -> None:
        self.runs: dict[str, RunProgress] = {}
        self.claims: dict[int, Claim] = {}
        self._chains: dict[str, dict[str, ChainProgress]] = {}
        self._waiting: dict[str, dict[str, ChainProgress]] = {}
        self._marks: dict[str, dict[str, Mark]] = {}

    def apply(self, key: bytes, value: bytes | None) -> Progress | None:
        """Take a record and return it; None for a tombstone. Raises ValueError for what is no progress record."""
        if value is None:
            self._remove(key.decode())
            return None
        record = ImportProgress.from_bytes(value).root
        self.put(record)
        return record

    def put(self, record: Progress) -> None:
        """Keep a record as the latest of its key."""
        match record:
            case RunProgress():
                self.runs[record.job_id] = record
            case ChainProgress():
                self._chains.setdefault(record.job_id, {})[record.chain] = record
                waiting = self._waiting.setdefault(record.job_id, {})
                if record.state in ("open", "parked"):
                    waiting[record.chain] = record
                else:
                    waiting.pop(record.chain, None)
            case Mark():
                self._marks.setdefault(record.job_id, {})[record.chain] = record
            case Claim():
                self.claims[record.partition] = record

    def chains(self, job_id: str) -> dict[str, ChainProgress]:
        """Return the job's chains by name, also those of earlier runs."""
        return self._chains.get(job_id, {})

    def waiting(self, job_id: str) -> dict[str, ChainProgress]:
        """Return the job's chains that are not at their end."""
        return self._waiting.get(job_id, {})

    def mark(self, job_id: str, chain: str) -> Mark | None:
        """Return what the last finished read of a chain left."""
        return self._marks.get(job_id, {}).get(chain)

    def accounted(self, job_id: str, chain: str) -> int:
        """Return how many rows of a report were published or left out, by all runs and all parts of the chain."""
        mark = self.mark(job_id, chain)
        if mark is None:
            return 0
        parts = self._parts(job_id, chain)
        read = (part for part in parts if part.run == mark.run and part.chain != mark.written_by)
        return mark.accounted + sum(part.tally.rows + part.tally.left_out for part in read)

    def failed(self, job_id: str, prefix: str, run: int) -> bool:
        """Say whether a chain whose name begins so could not be read in that run."""
        chains = self.chains(job_id)
        return any(
            name.startswith(prefix) and chain.run == run and chain.state == "failed" for name, chain in chains.items()
        )

    def keys(self, job_id: str) -> list[bytes]:
        """Return the keys of everything that is kept for a job."""
        keys = [f"chain:{job_id}:{chain}" for chain in self.chains(job_id)]
        keys += [f"mark:{job_id}:{chain}" for chain in self._marks.get(job_id, {})]
        if job_id in self.runs:
            keys.append(f"run:{job_id}")
        return [key.encode() for key in keys]

    def _parts(self, job_id: str, chain: str) -> Iterator[ChainProgress]:
        chains = self.chains(job_id)
        if chain in chains:
            yield chains[chain]
        for number in count(1):
            part = chains.get(part_name(chain, number))
            if part is None:
                return
            yield part

    def _remove(self, key: str) -> None:
        kind, _, rest = key.partition(":")
        job_id, _, chain = rest.partition(":")
        if kind == "run":
            self.runs.pop(rest, None)
        elif kind == "chain":
            self._chains.get(job_id, {}).pop(chain, None)
            self._waiting.get(job_id, {}).pop(chain, None)
        elif kind == "mark":
            self._marks.get(job_id, {}).pop(chain, None)


def part_name(chain: str, number: int) -> str:
    """Return the name of the n-th part (from 1) that was divided off a chain."""
    return f"{whole(chain)}#{number}"
