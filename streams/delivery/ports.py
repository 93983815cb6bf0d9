"""What delivery needs of the runtime below it; `streams.batches` offers exactly this, and tests a smaller one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from streams.batches import Output
from streams.batches import Row as TableRow
from streams.domain.rows import Row

R = TypeVar("R")


class Rows(Protocol):
    """The Memberships table."""

    async def read(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, TableRow[Row]]:
        """Rows by key, as the partition's owner."""
        ...

    def give_back(self, partition: int, rows: Iterable[TableRow[Row]]) -> None:
        """Rows that were read and not changed; they are not the caller's any more. As the partition's owner."""
        ...

    async def write_rows(
        self, partition: int, generation: int, rows: Iterable[TableRow[Row]], outputs: Sequence[Output] = ()
    ) -> None:
        """Outputs acknowledged, then the rows in the changelog, then in the store; as the partition's owner."""
        ...

    def scan(
        self, partition: int, *, after: bytes | None = None, step: int = 1000
    ) -> AsyncIterator[list[TableRow[Row]]]:
        """All rows of a partition in key order; copies."""
        ...

    def due(
        self,
        partition: int,
        prefix: bytes = b"",
        *,
        after: tuple[bytes, bytes] | None = None,
        upto: bytes | None = None,
        step: int = 1000,
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """(index key, row key) of rows that are marked due."""
        ...


class Owner(Protocol):
    """Who may write a partition, and for how long."""

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[R]]) -> R:
        """Run a job while nobody else works on the partition. Raises Revoked."""
        ...

    def lease_seconds(self) -> float:
        """How long the partitions surely stay ours."""
        ...


class Publisher(Protocol):
    """Writes records and waits for the broker."""

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        """Write many, wait for all. Raises NotDelivered."""
        ...
