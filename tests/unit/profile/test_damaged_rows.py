"""Rows that no aggregator has written are errors that name the place: the same from native fields and from Python's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import key_of
from streams.batches import STATE_HEADER, DamagedRow
from streams.batches.table.changelog import blob_of
from streams.batches.table.partition_table import PartitionTable
from streams.batches.table.row_cache import RowCache
from streams.batches.table.rows import encode_blob, encode_hidden, topic_hash
from streams.profile.folding import row as under_test
from streams.profile.folding.fold import BatchEffects, ProfileFold
from streams.profile.folding.row import AddressHistory, OutgoingTransfer, Profile, ProfileCodec, WrongMappingError
from streams.profile.worker import ProfileWorker
from tests.unit.mapping.twins import MODULES
from tests.unit.profile.in_memory_owners import ARRIVED, CATALOG, TOPICS, InMemoryOwners, activity

EXAMPLES = int(os.environ.get("STORED_EXAMPLES", "300"))
A = "a@x.com"
OTHER_VERSION = bytes.fromhex("fedcba9876543210")


def written() -> tuple[bytes, bytes]:
    """A row with events, ids and an address history."""
    owners = InMemoryOwners()
    for event in (activity(A, 1, campaign_id="k1", cc="DE"), activity(A, 2, "click", url="https://e.com/a?b")):
        owners.send(event)
    owners.drain()
    value, state = owners.rows[key_of(A)]
    profile = owners.fold.codec.decode(key_of(A), value, state)
    profile.history = AddressHistory([(5, "b@x.com")], ["c@x.com"], OutgoingTransfer("m1", "d@x.com", 9), 3)
    value, state = owners.fold.codec.encode(profile)
    assert value is not None
    return value, state


VALUE, STATE = written()


@cache
def codec_of(kind: Any) -> ProfileCodec:
    """The codec of one twin, whose fields are in use."""
    return ProfileCodec(CATALOG.version, CATALOG.layout)


def verdict(value: bytes | None, state: bytes) -> Any:
    """What both codecs make of a row: the bytes that they write again, or the kind and text of their error."""
    verdicts = []
    for kind in MODULES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(under_test, "Fields", kind.Fields)
            patch.setattr(under_test, "Shape", kind.Shape)
            codec = codec_of(kind)
            try:
                verdicts.append(codec.encode(codec.decode(b"k", value, state)))
            except (ValueError, WrongMappingError) as error:
                verdicts.append((type(error), str(error)))
    assert all(verdict == verdicts[0] for verdict in verdicts)
    return verdicts[0]


def test_a_row_is_read_as_it_was_written() -> None:
    assert verdict(VALUE, STATE) == (VALUE, STATE)


def with_parts(change: Any) -> bytes:
    """The state with its JSON part changed."""
    version, length = under_test._HEAD.unpack_from(STATE)
    end = under_test._HEAD.size + length
    raw = orjson.dumps(change(orjson.loads(STATE[under_test._HEAD.size : end])))
    return under_test._HEAD.pack(version, len(raw)) + raw + STATE[end:]


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (VALUE, b""),
        (VALUE, STATE[:5]),
        (VALUE, STATE[:40]),
        (VALUE, STATE[:-1]),
        (VALUE, b"\x00" * 8 + STATE[8:]),
        (VALUE[:-1], STATE),
        (b"", STATE),
        (b"{}", STATE),
        (b"null", STATE),
        (b"[1]", STATE),
        (None, STATE),
        (VALUE, with_parts(lambda parts: [parts[0][:-1], parts[1]])),
        (VALUE, with_parts(lambda parts: [[*parts[0], None], parts[1]])),
        (VALUE, with_parts(lambda parts: [[], parts[1]])),
        (VALUE, with_parts(lambda parts: [None, parts[1]])),
        (VALUE, with_parts(lambda parts: parts[:1])),
        (VALUE, with_parts(lambda parts: {"hidden": parts})),
        (VALUE, with_parts(lambda parts: [parts[0], 5])),
        (VALUE, with_parts(lambda parts: [parts[0], [[["5", "b@x.com"]], [], None, None]])),
        (VALUE, with_parts(lambda parts: [parts[0], [[], [7], None, None]])),
        (VALUE, with_parts(lambda parts: [parts[0], [[], [], ["m1"], None]])),
        (VALUE, with_parts(lambda parts: [parts[0], [[], [], None, "now"]])),
    ],
)
def test_a_damaged_row_is_refused_by_both(value: bytes | None, state: bytes) -> None:
    kind, text = verdict(value, state)
    assert issubclass(kind, Exception)
    assert text


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.none() | st.binary(max_size=40), st.binary(max_size=60))
def test_any_bytes_get_one_verdict(value: bytes | None, state: bytes) -> None:
    verdict(value, state)
    verdict(value, STATE[:8] + state)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_a_row_with_damaged_bytes_gets_one_verdict(data: st.DataObject) -> None:
    value, state = bytearray(VALUE), bytearray(STATE)
    for part in (value, state):
        for _ in range(data.draw(st.integers(0, 2))):
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(state)) | st.just(len(state)))
    verdict(bytes(value), bytes(state[:cut]))


def test_the_error_names_topic_partition_and_offset() -> None:
    codec = ProfileCodec(CATALOG.version, CATALOG.layout)
    table = PartitionTable(3, 1, None, 77, codec, None, RowCache(10, 1000), "cm_profile", ["cm_activity"])  # type: ignore[arg-type, var-annotated]
    table.next_offset = 500
    short = with_parts(lambda parts: [parts[0][:2], parts[1]])
    hidden = encode_hidden({topic_hash("cm_activity"): (7, 41)}, short)
    with pytest.raises(DamagedRow) as refusal:
        table.decode(key_of(A), encode_blob(VALUE, hidden))
    text = str(refusal.value)
    assert "in cm_profile[3], before offset 500, with cm_activity[3]@41 folded in" in text
    assert text.endswith(f"the hidden part has 2 entries, and the layout {CATALOG.layout.slots} slots")
    assert "a@x.com" not in text
    with pytest.raises(DamagedRow, match=r"in cm_profile\[3\], before offset 500, with no known record folded in"):
        table.decode(key_of(A), b"\x01")


def test_rows_of_other_mappings_end_the_process_and_are_not_damaged() -> None:
    codec = ProfileCodec(CATALOG.version, CATALOG.layout)
    table = PartitionTable(3, 1, None, 77, codec, None, RowCache(10, 1000), "cm_profile", [])  # type: ignore[arg-type, var-annotated]
    with pytest.raises(WrongMappingError):
        table.decode(key_of(A), encode_blob(VALUE, encode_hidden({}, OTHER_VERSION + STATE[8:])))


def test_what_is_folded_into_a_row_that_was_read_is_what_was_folded_before() -> None:
    """The checks change nothing about a good row: folding goes on in it."""
    fold = ProfileFold(CATALOG, TOPICS)
    profile: Profile = fold.codec.decode(key_of(A), VALUE, STATE)
    profile.history = None
    stream = fold.streams["cm_activity"]
    owners = InMemoryOwners()
    owners.send(activity(A, 3))
    (queue,) = owners.queues.values()
    assert fold.events(profile, A, stream, [stream.reader.read(queue[0])[1]], BatchEffects(0))
    assert profile.fields.public()["cm_openct"] == 2
    assert ARRIVED > 0


def test_a_state_header_without_a_value_is_restored_and_refused_when_it_is_read() -> None:
    """Recovery ended on it, at every start: all of the worker's people waited for one record."""
    blob = blob_of(b'{"a":["2"]}', [(STATE_HEADER, None)], public=True)
    assert blob == blob_of(b'{"a":["2"]}', [], public=True)
    assert blob_of(None, [(STATE_HEADER, None)], public=True) is None


async def test_a_damaged_first_row_does_not_keep_the_partition_from_its_people() -> None:
    """The check of the mappings' version at assignment ended the process."""

    async def damaged(partition: int, step: int) -> AsyncIterator[Any]:
        raise DamagedRow(f"the row in cm_profile[{partition}] cannot be read")
        yield step

    known = asyncio.Event()
    known.set()
    worker = SimpleNamespace(erased=SimpleNamespace(known=known), table=SimpleNamespace(scan=damaged))
    await ProfileWorker._check_assigned(worker, 0, 1)  # type: ignore[arg-type]
