"""A refused record is kept as it came, with its reason in headers, and is never larger than the brokers take."""

import hashlib

import pytest
from confluent_kafka import KafkaException, Producer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.kafka.access import DEAD_LETTER_ROOM
from connectors.kafka.admin import TopicShape, plan
from connectors.kafka.client_config import producer_config
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas import dead_letter
from schemas.dead_letter import MIN_BYTES, DeadLetterRecord, Origin, Stage, stage_of, wire_bytes
from streams.batches import DeadLetter, Output, StoredRecord
from streams.batches import Producer as BatchProducer
from streams.batches.process.dead_letters import output_of
from streams.dead_letters.letters import Letter, ReplayError, letter_of, note_of, original, read_note
from streams.export.settings import ExportSettings
from streams.export.worker import batch_settings as export_settings
from streams.process import StreamsSettings
from streams.profile.settings import ProfileSettings
from streams.profile.worker import batch_settings as profile_settings

AT = "2026-01-02T03:04:05.000Z"
MAX = 1_048_576
KAFKA = KafkaSettings(_env_file=None, bootstrap_servers="127.0.0.1:1")
NAMES = st.text(min_size=1, max_size=8).filter(lambda n: not n.startswith("dlq."))
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary()))

# Sizes around every bound, without the time to draw so many bytes.
SIZES = st.integers(0, 3 * MIN_BYTES)
LARGE = st.none() | st.builds(lambda size: b"x" * size, SIZES)
MANY = st.builds(
    lambda count, name, value: [(name, value)] * count,
    st.integers(0, 2_000),
    st.text(max_size=40),
    st.none() | st.binary(max_size=40),
)


def refused(value: bytes | None = b"v", headers=(), reason="no e-mail", stage="identity", key: bytes | None = b"k"):
    return DeadLetter("in", 3, StoredRecord(42, key, value, 0, headers), stage, reason)


def letter(
    key: bytes | None = b"k",
    value: bytes | None = b"v",
    headers: dead_letter.LetterHeaders = (),
    reason: str = "no e-mail",
    max_bytes: int = MAX,
) -> DeadLetterRecord:
    origin = Origin("in", 3, 42)
    return dead_letter.letter(
        key, value, headers, reason=reason, stage=Stage.IDENTITY, origin=origin, at=AT, max_bytes=max_bytes
    )


def read_back(record: DeadLetterRecord | Output) -> Letter:
    return letter_of(ConsumedRecord("in.dlq", 0, 0, record.key, record.value, record.headers))


def header(record: DeadLetterRecord, name: str) -> bytes | None:
    return dict(record.headers).get(name)


def test_headers_hold_the_reason_and_the_position() -> None:
    kept = output_of(refused(), "in.dlq", AT, MAX)
    assert kept.topic == "in.dlq"
    assert read_back(kept)[1:] == ("no e-mail", "identity", "in", 3, 42, AT, None, True, "0:0", 1)


@given(st.none() | st.binary(), st.none() | st.binary(), HEADERS)
def test_bytes_and_headers_stay_and_come_back_with_a_replay(key, value, headers) -> None:
    kept = letter(key, value, headers)
    assert (kept.key, kept.value) == (key, value)
    assert list(kept.headers)[: len(headers)] == headers
    again = original(read_back(kept), "in", MAX)
    assert again is not None
    assert (again.topic, again.key, again.value) == ("in", key, value)
    assert dead_letter.own_headers(again.headers or ()) == headers


@settings(max_examples=300)
@given(LARGE, LARGE, st.one_of(HEADERS, MANY), st.text(max_size=3_000), st.integers(MIN_BYTES, 4 * MIN_BYTES))
@example(b"k" * 100_000, b"v" * 100_000, [("h", b"x" * 100_000)], "\ud800" * 5_000, MIN_BYTES)
def test_a_letter_never_exceeds_its_bound_whatever_comes_in(key, value, headers, reason, max_bytes) -> None:
    kept = letter(key, value, headers, reason, max_bytes)
    assert wire_bytes(*kept) <= max_bytes
    assert kept.key in (key, None)
    assert kept.value in (value, None)
    if kept.value != value:
        assert value is not None
        assert header(kept, "dlq.left_out_bytes") == b"%d" % len(value)
        assert header(kept, "dlq.left_out_sha256") == hashlib.sha256(value).hexdigest().encode()
    whole = wire_bytes(key, value, letter(None, None, headers, reason, 10 * MAX).headers) <= max_bytes
    assert read_back(kept).whole is whole
    assert (original(read_back(kept), "in", MAX) is None) is not whole


@pytest.mark.parametrize("part", ["value", "key", "header"])
def test_one_byte_decides_at_the_exact_boundary(part: str) -> None:
    """A letter of exactly the bound is whole, and one byte more is not."""
    empty = letter(b"", b"", [("h", b"")], max_bytes=MAX)
    room = MAX - wire_bytes(*empty)

    def of(size: int) -> DeadLetterRecord:
        data = b"x" * size
        return letter(
            data if part == "key" else b"", data if part == "value" else b"", [("h", data if part == "header" else b"")]
        )

    assert wire_bytes(*of(room)) == MAX
    assert read_back(of(room)).whole
    assert not read_back(of(room + 1)).whole


def test_only_the_largest_part_is_left_out() -> None:
    kept = letter(b"k" * 2 * MIN_BYTES, b"v", [("h", b"1")], max_bytes=MIN_BYTES)
    assert (kept.key, kept.value, header(kept, "h")) == (None, b"v", b"1")
    assert header(kept, "dlq.left_out_key_bytes") == b"%d" % (2 * MIN_BYTES)
    kept = letter(b"k", b"v", [("h", b"1")] * 1_000, max_bytes=MIN_BYTES)
    assert (kept.key, kept.value, header(kept, "h")) == (b"k", b"v", None)
    assert header(kept, "dlq.left_out_headers") == b"1000"


def test_a_record_refused_twice_has_the_last_refusals_headers_only() -> None:
    first = letter(value=b"x" * MAX, reason="first")
    second = letter(headers=first.headers, reason="second")
    assert [value for name, value in second.headers if name == "dlq.reason"] == [b"second"]
    assert header(second, "dlq.left_out_bytes") is None


def test_a_value_too_large_to_keep_is_left_out_and_its_size_is_kept() -> None:
    found = read_back(letter(value=b"x" * 8_000, reason="too large", max_bytes=MIN_BYTES))
    assert (found.record.value, found.left_out_bytes, found.reason) == (None, 8_000, "too large")
    assert original(found, "in", MAX) is None


def test_a_bound_without_room_for_our_headers_is_refused() -> None:
    with pytest.raises(ValueError, match="4096 is the least"):
        letter(max_bytes=MIN_BYTES - 1)


def test_the_largest_input_record_fits_whatever_its_reason() -> None:
    bound = KAFKA.max_produced_bytes
    kept = output_of(refused(b"x" * 1_048_000, reason="ü" * 100_000), "in.dlq", AT, bound)
    assert kept.value is not None
    assert sum(len(n) + len(v or b"") for n, v in kept.headers) < 2_000
    assert read_back(letter(value=b"x" * KAFKA.max_message_bytes, max_bytes=bound)).whole


def test_the_bound_is_what_the_dead_letter_topics_take() -> None:
    shape = TopicShape(12, 3, 2, KAFKA.max_message_bytes)
    takes = {topic.name: int(topic.config["max.message.bytes"]) for topic in plan(KAFKA.names(), shape, 3)}
    for role in ("audience-membership", "cm_user", "cm_activity", "cm_profile_moves"):
        assert KAFKA.max_produced_bytes <= takes[role + ".dlq"]
    assert KAFKA.max_produced_bytes == KAFKA.max_message_bytes + DEAD_LETTER_ROOM


def largest_refused(producer: Producer, record: DeadLetterRecord) -> bool:
    """Whether the client refuses a record for its size; it does so at once, without any broker."""
    try:
        producer.produce("in.dlq", record.value, record.key, headers=list(record.headers))
    except KafkaException as error:
        return bool(error.args[0].name() == "MSG_SIZE_TOO_LARGE")
    return False


@pytest.mark.parametrize("headers", [(), [("h", b"x")] * 1_000], ids=["value", "headers"])
def test_the_client_takes_every_letter_within_the_bound(headers) -> None:
    producer = Producer(producer_config(KAFKA, "test"))
    bound = KAFKA.max_produced_bytes
    room = bound - wire_bytes(*letter(b"", b"", headers, max_bytes=bound))
    assert not largest_refused(producer, letter(b"", b"x" * room, headers, max_bytes=bound))
    assert largest_refused(producer, DeadLetterRecord(None, b"x" * (bound + 1), ()))
    producer.purge()


@pytest.mark.parametrize("worker", ["export", "profile"])
async def test_the_workers_producers_take_every_letter_within_the_bound(worker: str, tmp_path) -> None:
    """Red while the batch producer took less than the bound: a record in between ended the worker for ever."""
    streams = StreamsSettings(_env_file=None, data_dir=tmp_path)
    if worker == "export":
        batch = export_settings(streams, KAFKA, ExportSettings(_env_file=None))
    else:
        batch = profile_settings(streams, KAFKA, ProfileSettings(_env_file=None))
    producer = BatchProducer(batch)
    bound = KAFKA.max_produced_bytes
    room = bound - wire_bytes(*letter(b"", b"", max_bytes=bound))
    for size in (room, room + 1, 1_052_000, 1_056_768, 20 * MAX):
        kept = letter(b"", b"x" * size, max_bytes=bound)
        assert not largest_refused(producer._producer, kept), size
    producer.drop_queued()
    await producer.close(0.0)


@pytest.mark.parametrize(
    ("given_stage", "stage"),
    [("schema", Stage.SCHEMA), ("row-size", Stage.FOLD), ("partitioning", Stage.IDENTITY), ("", Stage.FOLD)],
)
def test_every_stage_is_one_of_the_contract(given_stage: str, stage: Stage) -> None:
    assert stage_of(given_stage) is stage
    assert read_back(output_of(refused(stage=given_stage), "in.dlq", AT, MAX)).stage == stage.value


@given(st.sets(st.integers(0, 400)))
def test_a_note_holds_the_offsets_that_it_was_made_of(offsets: set[int]) -> None:
    assert read_note(note_of(offsets)) == offsets


@pytest.mark.parametrize("text", ["somebody's", "5-", "-", "1-x"])
def test_a_note_of_others_names_no_letter(text: str) -> None:
    assert read_note(text) == frozenset()


def test_too_many_single_letters_are_a_sentence() -> None:
    with pytest.raises(ReplayError, match="replay or discard older ones first"):
        note_of(range(0, 4_000, 2))


def test_a_record_that_is_refused_again_names_its_first_letter() -> None:
    first = read_back(letter(headers=[("h", b"1")]))
    assert (first.times, first.first) == (1, first.place)
    again = original(first, "in", MAX)
    assert again is not None
    for times in (2, 3):
        found = read_back(letter(headers=again.headers or ()))
        assert (found.times, found.first) == (times, first.place)
        again = original(found, "in", MAX)
        assert again is not None
        assert dead_letter.own_headers(again.headers or ()) == [("h", b"1")]


def test_a_replayed_record_never_outgrows_its_topic() -> None:
    found = read_back(letter(value=b"x" * 1_000))
    bare = original(found, "in", wire_bytes(b"k", b"x" * 1_000, ()))
    assert bare is not None
    assert not bare.headers
