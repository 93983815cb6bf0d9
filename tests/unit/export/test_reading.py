"""A batch's records by person: what stays bytes is what is decoded otherwise."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.batches import Batch, Record
from streams.batches.core.batch import StoredRecord, TopicIncarnation, partition_of
from streams.export.intake import reading
from streams.export.intake.reading import ReadPeople, read_people
from streams.export.rules.jobs import AudienceName, AudienceNames

PEOPLE = [name for name in (f"p{number}@example.com" for number in range(40)) if partition_of(name.encode(), 4) == 1][
    :3
]
MOVED = next(name for name in (f"m{number}@example.com" for number in range(40)) if partition_of(name.encode(), 4) == 2)


def _names() -> AudienceNames:
    return AudienceNames({"vip": AudienceName("VIP", 1)})


def _record(offset: int, email: str, **parts: Any) -> StoredRecord:
    change = {"email": email, "change": "enter", "at": "2026-01-01T00:00:00Z", "audience": {"id": "vip", "name": "VIP"}}
    return StoredRecord(offset, email.strip().lower().encode(), orjson.dumps({**change, **parts}), 1_800_000_000_000)


def _batch(records: list[Record]) -> Batch:
    return Batch(TopicIncarnation("t", 7), 1, records, partitions=4)


def _all(people: ReadPeople) -> dict[bytes, list[tuple[int, Any, int]]]:
    return {key: [(read.record.offset, read.event, read.size) for read in people.reads(key)] for key in people}


def _both(records: list[Record]) -> tuple[ReadPeople, Batch]:
    """Read in both ways, and compare; returns what was read by bytes."""
    batch, careful = _batch(records), _batch(records)
    people = read_people(batch, _names(), 1)
    kept = sorted(people)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "native_flat", None)
        reference = read_people(careful, _names(), 1)
    assert not reference.plain
    assert kept == sorted(reference)
    assert len(set(people)) == len(list(people))
    names = dict(_names().changes(reference.names()))
    assert dict(_names().changes(people.names())) == names
    assert _all(people) == _all(reference)
    assert (sorted(batch.moved), batch.refused) == (sorted(careful.moved), careful.refused)
    return people, batch


_parts = st.fixed_dictionaries(
    {},
    optional={
        "audience": st.sampled_from([{"id": "vip", "name": "Very"}, {"id": "new", "name": "New"}]),
        "change": st.just("exit"),
        "at": st.sampled_from(["2026-01-02T00:00:00Z", "1970-01-01T00:00:00Z", "no"]),
        "user": st.sampled_from([{"city": "Ghent"}, {"city": 'a"b'}, {"email": "x"}]),
    },
)
_emails = st.sampled_from([*PEOPLE, PEOPLE[0].upper(), f" {PEOPLE[1]}", MOVED, "no address"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_emails, st.one_of(st.just({}), _parts)), min_size=1, max_size=6))
def test_both_ways_read_the_same(changes: list[tuple[str, dict[str, Any]]]) -> None:
    _both([_record(offset, email, **parts) for offset, (email, parts) in enumerate(changes)])


@pytest.mark.skipif(reading.native_flat is None, reason="there is no C compiler here")
def test_the_common_shape_stays_bytes() -> None:
    people = read_people(_batch([_record(0, PEOPLE[0]), _record(1, PEOPLE[1], change="exit")]), _names(), 2)
    assert list(people.plain) == [PEOPLE[0].encode()]
    assert not read_people(_batch([_record(0, PEOPLE[0])]), _names(), 2).plain, "of few records all are decoded"


def test_a_persons_records_keep_their_order() -> None:
    shouted = _record(0, PEOPLE[0].upper(), change="exit")
    people, _ = _both([shouted, _record(1, PEOPLE[0]), _record(2, PEOPLE[1]), _record(3, PEOPLE[0], change="exit")])
    assert [read.record.offset for read in people.reads(PEOPLE[0].encode())] == [0, 1, 3]


def test_after_another_name_in_the_batch_every_name_counts() -> None:
    renamed = _record(0, PEOPLE[0], audience={"id": "vip", "name": "Very"})
    people, _ = _both([renamed, _record(1, PEOPLE[1], at="2026-01-03T00:00:00Z")])
    assert not people.plain


def test_what_is_in_another_persons_partition_is_moved_unchanged() -> None:
    record = _record(0, MOVED)
    people, batch = _both([record, _record(1, PEOPLE[0])])
    assert list(people) == [PEOPLE[0].encode()]
    assert [moved.value for moved in batch.moved] == [record.value]


def test_events_may_be_asked_for_while_people_are_gone_through() -> None:
    """Whose call is refused is folded while others of the batch are still to be sent."""
    records = [_record(0, PEOPLE[0]), *(_record(n, person) for person in PEOPLE[1:] for n in (1, 2))]
    people = read_people(_batch(records), _names(), 1)
    assert set(people.plain) == {PEOPLE[0].encode()}
    later = iter(people)
    seen = [next(later), next(later)]
    assert len(people.reads(PEOPLE[0].encode())) == 1
    assert sorted([*seen, *later]) == sorted(person.encode() for person in PEOPLE)
