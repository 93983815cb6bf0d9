"""What the answers of a request do: to the person in the queue (`apply_decision`), then to the rows (`ListRows`).

A person is final, or is tried another way, or waits. Final outcomes are written as the owner of each partition.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from schemas.audience_delivery import Refusal
from schemas.envelope import EpochMillis
from streams.batches import BatchError, Revoked
from streams.export.recovery.read_back import RefusedRecords
from streams.export.rules.codes import INACTIVE, REFUSALS
from streams.export.rules.jobs import ListView
from streams.export.rules.outcome import (
    AddressTaken,
    Blocked,
    Delivered,
    NotOnList,
    OrdersDone,
    RefreshSchema,
    RetryLater,
    SplitRequest,
    SubscriberRejected,
)
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.rules.row import UnansweredCalls
from streams.export.rules.settlement import WrittenState
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.plan import FinalOutcome, PlannedWrite, WriteResult
from streams.export.sending.queue import QueuedPerson, SendQueue
from streams.export.state import OpenList
from streams.export.table import ExportRuntime

log = structlog.get_logger(__name__)

NOT_UNDERSTOOD = "Campaign Monitor does not understand what was sent: look at the address and the fields"
BOTH_ON_LIST = "the new address was on the list already; the former one leaves it by the job's rule"
NOT_THERE = "Not on the list under this address: they may be on it under one that they chose themselves"
# A field or segment that was just read as missing is created by the next request: no use in waiting longer.
REFRESH_SECONDS = 1.0
# Answers are kept while the partition is ours: they are written as soon as the broker takes them.
REWRITE_SECONDS = 1.0

_RENAMED = Delivered | OrdersDone | SubscriberRejected

Applied = FinalOutcome | RetryLater | Blocked | RefreshSchema
"""A final outcome, or what else has to be done about the list."""


def apply_decision(result: WriteResult, together: int, queue: SendQueue, now: float) -> Applied | None:
    """Return what is final, or what else has to be done; a person who needs another request is queued again here.

    `together`: how many people the request included.
    """
    write, decision = result.write, result.decision
    person, state = write.person, write.state
    if state is None or write.route is None:
        return None
    person.attempts += 1
    attempt = person.attempt
    if write.route.kind is RequestKind.RENAME and write.held is not None and isinstance(decision, _RENAMED):
        attempt.renamed = write.held.orders
        attempt.both_on_list = result.both_on_list
    match decision:
        case Delivered(gone=gone):
            message = BOTH_ON_LIST if attempt.both_on_list else NOT_THERE if gone else result.message
            return replace(outcome_of(state, result), message=message, gone=gone)
        case SubscriberRejected(code=code) if (
            code in INACTIVE and write.route.kind is RequestKind.IMPORT and not attempt.refused_code
        ):
            attempt.refused_code = code  # what the list still holds, or the jobs' rule, comes first
            queue.requeue(person, RequestRoute(RequestKind.REFUSE))
            return None
        case SubscriberRejected(code=code, gone=gone):
            refusal = state.desired.refused or REFUSALS.get(code, Refusal.INVALID)
            address, message = result.address, result.message
            return FinalOutcome(state, person, address, refusal=refusal, code=code or None, message=message, gone=gone)
        case NotOnList():
            attempt.not_applied = attempt.not_applied or result.not_applied
            attempt.address_moved = attempt.address_moved or not result.not_applied
            queue.requeue(person, RequestRoute(RequestKind.IMPORT))
            return None
        case AddressTaken():
            attempt.address_moved = True
            queue.requeue(person, RequestRoute(RequestKind.IMPORT))
            return None
        case OrdersDone(only=tuple(only)):
            attempt.renamed = {former: order for former, order in attempt.renamed.items() if former in only}
            address = write.held.address if write.held is not None else None
            return FinalOutcome(state, person, address, unwritten=True)
        case OrdersDone():
            if not state.desired.present or (write.held is not None and write.held.lent):
                return FinalOutcome(state, person, result.address, unwritten=True)
            queue.requeue(person, RequestRoute(RequestKind.IMPORT))
            return None
        case SplitRequest(code=code) if together == 1:
            return FinalOutcome(state, person, refusal=Refusal.INVALID, code=code, message=NOT_UNDERSTOOD)
        case SplitRequest():
            person.share = max(1, together // 2)
            queue.requeue(person, write.route)
            return None
        case RefreshSchema():
            queue.retry_at(person, now + REFRESH_SECONDS)
            return decision
        case RetryLater(after=after, outcome_unknown=outcome_unknown):
            attempt.outcome_unknown = attempt.outcome_unknown or outcome_unknown
            if outcome_unknown and write.route.kind is not RequestKind.RENAME:
                known = write.held.address if write.held is not None else None
                addresses = tuple(sorted({address for address in (known, state.desired.address) if address}))
                attempt.unanswered = UnansweredCalls(0, write.route.resubscribe, addresses).and_(attempt.unanswered)
                attempt.return_lost_at = now if write.route.resubscribe else attempt.return_lost_at
            attempt.not_applied = attempt.not_applied and not outcome_unknown
            queue.retry_at(person, now + after)
            return decision
        case Blocked(after=after):
            queue.retry_at(person, now + after)
            return decision


def outcome_of(state: WrittenState, result: WriteResult) -> FinalOutcome:
    """Return the outcome of a person that the list accepted."""
    person, removed = result.write.person, result.removed
    return FinalOutcome(state, person, result.address, result.added, removed=removed, message=result.message)


def is_accepted(result: WriteResult) -> bool:
    """Whether the person is on the list now, as was asked for."""
    return isinstance(result.decision, Delivered) and not result.decision.gone and result.address is not None


class ListRows:
    """Reads the rows of one list's people and records their outcomes, whichever partitions they are in."""

    def __init__(
        self, opened: OpenList, rows: PartitionRows, runtime: ExportRuntime, refused_records: RefusedRecords
    ) -> None:
        self._list_id = opened.list_id
        self._queue = opened.queue
        self._rows = rows
        self._runtime = runtime
        self._refused_records = refused_records

    async def prepare(self, people: Sequence[QueuedPerson], listed: ListView | None) -> list[PlannedWrite]:
        """Return what each of these people needs, in their order; those of other owners are removed from the queue."""
        by_partition: dict[int, list[QueuedPerson]] = {}
        for person in people:
            by_partition.setdefault(person.key[0], []).append(person)
        groups = await asyncio.gather(*(self._read(part, listed, group) for part, group in by_partition.items()))
        order = {person.key: number for number, person in enumerate(people)}
        return sorted((write for group in groups for write in group), key=lambda write: order[write.person.key])

    async def record(self, outcomes: Sequence[FinalOutcome], accepted: EpochMillis) -> None:
        """Write final outcomes into the rows, and take their people out of the queue."""
        by_partition: dict[int, list[FinalOutcome]] = {}
        for outcome in outcomes:
            by_partition.setdefault(outcome.person.key[0], []).append(outcome)
        await asyncio.gather(*(self._record(part, group, accepted) for part, group in by_partition.items()))

    async def _read(self, partition: int, listed: ListView | None, group: Sequence[QueuedPerson]) -> list[PlannedWrite]:
        owned = self._rows.owned(partition)
        if owned is None or listed is None:
            for person in group:
                self._queue.drop(person.key)
            return []
        try:
            return await self._runtime.owner.run_as_owner(
                partition, owned.generation, lambda: self._rows.prepare(owned, listed, group)
            )
        except Revoked:
            self._queue.forget_partition(partition)
            return []

    async def _record(self, partition: int, group: Sequence[FinalOutcome], accepted: EpochMillis) -> None:
        owned = self._rows.owned(partition)
        if owned is None:
            self._queue.forget_partition(partition)
            return
        refused = [
            outcome for outcome in group if outcome.refusal is Refusal.INVALID and outcome.state.desired.refused is None
        ]
        while True:
            try:
                if refused:
                    await self._refused_records.keep(partition, refused)
                again = await self._runtime.owner.run_as_owner(
                    partition,
                    owned.generation,
                    lambda: self._rows.record_outcomes(owned, self._list_id, group, accepted),
                )
            except Revoked:
                self._queue.forget_partition(partition)
                return
            except BatchError as error:
                log.warning("outcomes not recorded yet", list_id=self._list_id, error=str(error))
                await asyncio.sleep(REWRITE_SECONDS)
                continue
            break
        now = self._runtime.clocks.monotonic()
        for outcome in group:
            if outcome.person.key in again:
                self._queue.touch(outcome.person.key, now)
            self._queue.done(outcome.person.key, now)
