"""People of the common kind in a batch: found as bytes, sent, and written as bytes. See `rules/flat_import.py`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

from schemas.envelope import EpochMillis
from streams.batches import Output, TopicIncarnation, decode_blob, decode_hidden, encode_blob, encode_hidden, topic_hash
from streams.export.recovery.receipts import LONGEST_ID, ReceiptContext, rfc3339_of
from streams.export.rules.flat_import import FlatImport, FlatPlan, compile_plan, outcome_of_change
from streams.export.rules.jobs import Exports
from streams.export.rules.membership import MembershipEvent
from streams.export.sending.direct_queue import DirectCall, FlatAnswer, KnownList
from streams.export.state import ExportState, OpenList

try:
    from streams.export.rules import native_flat
    from streams.export.sending import native_receipts
except ImportError:  # there was no C compiler
    native_flat = native_receipts = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from streams.export.rules.native_flat import PlainRecord

StoredMembership = tuple[bytes, bytes | None]
"""A person's key, and their row as the store keeps it; None: there is none."""


class PersonPass(Protocol):
    """`FlatPlan`, or what was compiled of it."""

    def person(
        self, key: bytes, events: Sequence[MembershipEvent], value: bytes | None, source: int, /
    ) -> FlatImport | None:
        """See `FlatPlan`."""
        ...


class ReadsEvents(Protocol):
    """The records of a batch by person's key."""

    @property
    def plain(self) -> "Mapping[bytes, PlainRecord]":
        """People with one record, of the common shape."""
        ...

    def events(self, key: bytes) -> list[MembershipEvent]:
        """Return somebody's events."""
        ...


@dataclass(slots=True)
class FlatGroup:
    """People of one list."""

    opened: OpenList
    plan: FlatPlan
    passing: PersonPass
    people: list[FlatImport] = field(default_factory=list)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    """Of those who have a row."""

    def stored(self) -> list[StoredMembership]:
        """Return everybody's row."""
        return stored_of(self.people, self.blobs)


class Returned(NamedTuple):
    """Rows of a call that need the careful way."""

    rows: Sequence[StoredMembership]
    outcome_unknown: bool
    under_way: DirectCall | None
    """The call that still includes the people; the queue waits for its answer."""
    opened: OpenList


class FlatPlans:
    """The plans of all lists, while nothing changes that they depend on."""

    def __init__(self, state: ExportState, max_row_bytes: int) -> None:
        self._state = state
        self._max_row_bytes = max_row_bytes
        self._exports: Exports | None = None
        self._plans: dict[str, tuple[KnownList, FlatPlan | None, PersonPass | None]] = {}

    def of(self, audience: str, now: float) -> tuple[OpenList, FlatPlan, PersonPass] | None:
        """Return the list that alone exports an audience, with its plan; None: it cannot be sent to in this way now."""
        views = self._state.exports.of(audience)
        opened = self._state.open.get(views[0].job.list_id) if len(views) == 1 else None
        found = None if opened is None else self.of_list(opened, now)
        return None if opened is None or found is None else (opened, *found)

    def of_list(self, opened: OpenList, now: float) -> tuple[FlatPlan, PersonPass] | None:
        """Return a list's plan; None: it cannot be sent to in this way now."""
        exports = self._state.exports
        if exports is not self._exports:
            self._plans.clear()
            self._exports = exports
        known = opened.direct.known
        if known is None or known.confirms or not opened.takes_direct(now) or opened.list_id not in exports.lists:
            return None
        found = self._plans.get(opened.list_id)
        if found is None or found[0] is not known:
            listed = exports.lists[opened.list_id]
            plan = compile_plan(listed, exports, self._state.names, known.keys, known.kept, self._max_row_bytes)
            found = self._plans[opened.list_id] = known, plan, None if plan is None else pass_of(plan)
        _, plan, passing = found
        return None if plan is None or passing is None else (plan, passing)


def source_of(value: bytes) -> int:
    """Return the incarnation of the source that a stored row's positions belong to."""
    source: int = orjson.loads(value).get("p", 0)
    return source


def pass_of(plan: FlatPlan) -> PersonPass:
    """Return the pass over people: in C where it was compiled."""
    return plan if native_flat is None else native_flat.FlatPass(plan)


def stored_of(people: Iterable[FlatImport], blobs: Mapping[bytes, bytes]) -> list[StoredMembership]:
    """Return the rows of some people. `blobs`: of those who have one."""
    return [(person.key, blobs.get(person.key)) for person in people]


def group_flat(
    stored: Iterable[StoredMembership],
    read: ReadsEvents,
    plans: FlatPlans,
    source: TopicIncarnation,
    partition: int,
    after: int,
    now: float,
) -> tuple[list[FlatGroup], list[StoredMembership]]:
    """Return the people of the common kind, by list, and the rows of all others.

    `after`: records up to there come a second time, and need care.
    """
    groups: dict[str, FlatGroup] = {}

    def group_of(audience: str) -> FlatGroup | None:
        planned = plans.of(audience, now) if audience else None
        return None if planned is None else groups.setdefault(planned[0].list_id, FlatGroup(*planned))

    group_once = cache(group_of)
    if native_flat is not None:
        stored = native_flat.newcomers(stored, read.plain, group_once, after, source.topic_id, partition)
    others: list[StoredMembership] = []
    for key, blob in stored:
        events = read.events(key)
        first = events[0]
        group = group_once(first.changes[0].audience if first.changes else "")
        value, position = (None, -1) if blob is None else value_of(blob, source)
        person = None
        if group is not None and first.position > max(after, position) and (partition, key) not in group.opened.queue:
            person = group.passing.person(key, events, value, source.topic_id)
        if group is None or person is None:
            others.append((key, blob))
            continue
        group.people.append(person)
        if blob is not None:
            group.blobs[key] = blob
    return list(groups.values()), others


def value_of(blob: bytes, source: TopicIncarnation) -> tuple[bytes | None, int]:
    """Return a stored row's value, and the last record of the source in it; -1: none."""
    value, hidden = decode_blob(blob)
    topic_id, position = decode_hidden(hidden)[0].get(topic_hash(source.topic), (0, -1))
    return value, position if topic_id == source.topic_id else -1


def held_after(person: FlatImport, list_id: str) -> bytes:
    """Return what the row after the call says of the list, as it is stored: a receipt's header, see `receipts.HELD`."""
    begin = b'"l":{%b:' % orjson.dumps(list_id)
    start = person.value.rindex(begin) + len(begin)
    return person.value[start : person.value.rindex(b'},"p":')]


def receipts_of(
    context: ReceiptContext,
    plan: FlatPlan,
    people: Sequence[FlatImport],
    answer: FlatAnswer,
    source: int,
    accepted: EpochMillis,
) -> list[tuple[str, Output]]:
    """Return (id, record) of each receipt of people that the list accepted; as `receipts.output` writes them."""
    everybody = answer.new >= len(people)
    unknown = sum(not person.known for person in people)
    job, list_id, at = plan.view.id, plan.listed.list_id, rfc3339_of(accepted)
    of_unknown = everybody or (False if answer.new == 0 else True if answer.new == unknown else None)
    if native_receipts is not None:
        return native_receipts.receipts(
            context, job, list_id, people, everybody, of_unknown, source, at, accepted, LONGEST_ID
        )
    receipts: list[tuple[str, Output]] = []
    for person in people:
        added = everybody if person.known else of_unknown
        for position, appended, enters in person.answers:
            event_id = context.event_id(job, position, source)
            outcome, message = outcome_of_change(person, enters=enters, added=added)
            body = {
                "schema_version": 1,
                "event_id": event_id,
                "at": at,
                "job_id": job,
                "list_id": list_id,
                "email": person.key.decode(),
                "audiences": person.options,
                "outcome": outcome.value,
                "attempts": 1,
                "latency_ms": max(0, accepted - appended),
                "source": {"topic": context.source_topic, "partition": context.partition, "offset": position},
            }
            if message is not None:
                body["message"] = message
            record = Output(context.topic, person.key, bytes(memoryview(orjson.dumps(body))), (), context.partition)
            receipts.append((event_id, record))
    return receipts


def written_rows(
    people: Iterable[FlatImport], blobs: Mapping[bytes, bytes], source: TopicIncarnation, upto: int
) -> list[tuple[bytes, bytes]]:
    """Return the rows after the call, up to a record of the source, as the store keeps them. `blobs`: those before."""
    topic, position = topic_hash(source.topic), (source.topic_id, upto)
    usual = encode_blob(b"", encode_hidden({topic: position}, b""))
    if not blobs:
        return [(person[0], usual + person[2]) for person in people]
    written: list[tuple[bytes, bytes]] = []
    for person in people:
        blob = blobs.get(person.key)
        positions = {} if blob is None else decode_hidden(decode_blob(blob)[1])[0]
        positions[topic] = position
        hidden = encode_hidden(positions, b"")
        written.append((person.key, usual + person.value if len(positions) == 1 else encode_blob(person.value, hidden)))
    return written
