"""The application: a Faust app on our transport, its tables, its agents and their life."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn, TypeVar

from .batch import Batch, DeadLetter
from .metrics import Metrics
from .producer import Producer
from .rows import Codec
from .settings import BatchSettings
from .table import BatchTable, Index

T = TypeVar("T")
R = TypeVar("R")

Agent = Callable[[Batch], Awaitable[None]]
DeadLetters = Callable[[Sequence[DeadLetter]], Awaitable[None]]
OwnerHook = Callable[[int, int], Awaitable[None]]


class Health(NamedTuple):
    """What /live and /ready should answer."""

    live: bool
    ready: bool
    reasons: list[str]
    """Why not, in words."""


class BatchApp:
    """One consumer group: sources with equal partition counts, tables, and one owner task for each partition."""

    faust: Any
    producer: Producer
    metrics: Metrics
    settings: BatchSettings

    def __init__(
        self,
        settings: BatchSettings,
        *,
        dead_letters: DeadLetters | None = None,
        misplaced: DeadLetters | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`dead_letters` is awaited with every refused record and must return only when they are kept; by default they
        go to `<topic>.dlq`. `misplaced` receives records whose key belongs to another partition (an upstream with
        another partitioner); by default they are dead letters of stage "partitioning"."""
        raise NotImplementedError

    def table(
        self,
        name: str,
        *,
        codec: Codec[T],
        sources: Sequence[str],
        changelog: str | None = None,
        public: bool = False,
        index: Index[T] | None = None,
    ) -> BatchTable[T]:
        """Declare a table, before start.

        `changelog` defaults to `<app_id>-<name>-changelog`. With `public` the changelog is a topic for others: the
        record's value is the public value, the hidden state travels in a header. `sources` are the topics whose
        offsets its rows remember."""
        raise NotImplementedError

    def agent(self, *topics: str) -> Callable[[Agent], Agent]:
        """Register `async def (batch)` for batched topics, before start. One agent for each topic."""
        raise NotImplementedError

    def on_assigned(self, hook: OwnerHook) -> OwnerHook:
        """`async def (partition, generation)`, when the partition's tables are restored and before its first batch.

        Return soon: start a task there, and end it in `on_revoked`."""
        raise NotImplementedError

    def on_revoked(self, hook: OwnerHook) -> OwnerHook:
        """`async def (partition, generation)`, when the partition is taken away or the process stops, before the stores
        close. Writes are still allowed inside the hook, within what is left of `revoke_grace_seconds`."""
        raise NotImplementedError

    def service(self, fn: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """A task that runs while the app does; started before the group is joined, cancelled at stop. If it raises the
        process ends (a silent death of a part is the worst fault)."""
        raise NotImplementedError

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[R]]) -> R:
        """Run `job` in the partition's owner task, between batches, and return its result. Raises Revoked."""
        raise NotImplementedError

    def lease_seconds(self) -> float:
        """How long this process surely stays the owner of its partitions, judged by the group's last heartbeat answer.

        Check it just before an effect that Kafka cannot fence (an HTTP request): at 0 or less do not send."""
        raise NotImplementedError

    def health(self) -> Health:
        """Judged from inside: partitions restored, nothing stuck, heartbeats answered."""
        raise NotImplementedError

    def run(self) -> NoReturn:
        """Check topics, join the group, work until SIGTERM or SIGINT, stop cleanly. Ends the process."""
        raise NotImplementedError

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BatchApp]:
        """The same in a running event loop, without signal handlers: for tests and for processes with several apps."""
        raise NotImplementedError
        yield self

    async def settled(self, timeout_seconds: float = 30.0) -> None:
        """Wait until everything that is in the sources now is settled and committed: for tests."""
        raise NotImplementedError
