"""A refused record is kept as it came, with headers that say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.records import ConsumedRecord
from connectors.kafka.topic_plan import DEAD_LETTER_ROOM
from schemas.dead_letter import Stage
from schemas.topics import TopicNames
from streams.batches import DeadLetter, Output, StoredRecord
from streams.dead_letters import LARGEST, DeadLetters, Letter, kept, letter_of, sent_again

AT = "2026-01-02T03:04:05.000Z"
HEADERS = st.lists(st.tuples(st.text(min_size=1, max_size=8).filter(lambda n: not n.startswith("dlq.")), st.binary()))


def letter(value: bytes | None = b"v", headers=(), reason="no e-mail", stage="identity", key: bytes | None = b"k"):
    return DeadLetter("in", 3, StoredRecord(42, key, value, 0, headers), stage, reason)


def read_back(output: Output) -> Letter:
    return letter_of(ConsumedRecord(output.topic, 0, 0, output.key, output.value, output.headers))


def test_says_why_and_from_where() -> None:
    output = kept(letter(), TopicNames("p."), AT)
    assert output.topic == "in.dlq"
    found = read_back(output)
    assert found[1:] == ("no e-mail", "identity", "in", 3, 42, AT, None)


@given(st.none() | st.binary(), st.none() | st.binary(), HEADERS)
def test_bytes_and_headers_stay_and_come_back_with_a_replay(key, value, headers) -> None:
    output = kept(letter(value, headers, key=key), TopicNames(), AT)
    assert (output.key, output.value) == (key, value)
    assert list(output.headers)[: len(headers)] == headers
    again = sent_again(read_back(output), "in")
    assert again is not None
    assert (again.topic, again.key, again.value, list(again.headers or ())) == ("in", key, value, headers)


def test_a_record_refused_twice_tells_the_last_time_only() -> None:
    first = kept(letter(reason="first"), TopicNames(), AT)
    second = kept(letter(headers=first.headers, reason="second"), TopicNames(), AT)
    assert [value for name, value in second.headers if name == "dlq.reason"] == [b"second"]


def test_a_value_too_large_to_keep_is_left_out_and_said() -> None:
    found = read_back(kept(letter(b"x" * 2_000, reason="too large"), TopicNames(), AT, largest=1_500))
    assert (found.record.value, found.left_out_bytes, found.reason) == (None, 2_000, "too large")
    assert sent_again(found, "in") is None


def test_the_largest_input_record_fits_whatever_its_reason() -> None:
    output = kept(letter(b"x" * 1_048_000, reason="ü" * 100_000), TopicNames(), AT)
    assert output.value is not None
    assert sum(len(n) + len(v) for n, v in output.headers) < 2_000
    assert LARGEST < 1_048_576 + DEAD_LETTER_ROOM


@pytest.mark.parametrize(
    ("given_stage", "stage"),
    [("schema", Stage.SCHEMA), ("row-size", Stage.FOLD), ("partitioning", Stage.IDENTITY), ("", Stage.FOLD)],
)
def test_every_stage_is_one_of_the_contract(given_stage: str, stage: Stage) -> None:
    assert read_back(kept(letter(stage=given_stage), TopicNames(), AT)).stage == stage.value


async def test_counts_only_what_was_kept() -> None:
    counted: list[tuple[str, Stage]] = []
    published: list[Output] = []

    async def publish(outputs) -> None:
        published.extend(outputs)

    async def fail(_outputs) -> None:
        raise ConnectionError("no broker")

    def count(topic: str, stage: Stage) -> None:
        counted.append((topic, stage))

    await DeadLetters(publish, TopicNames(), counted=count).keep([letter(), letter(stage="schema")])
    assert counted == [("in", Stage.IDENTITY), ("in", Stage.SCHEMA)]
    assert len(published) == 2
    with pytest.raises(ConnectionError):
        await DeadLetters(fail, TopicNames(), counted=count).keep([letter()])
    assert len(counted) == 2
    await DeadLetters(fail, TopicNames()).keep([])
