"""What waits: people whose change is not delivered, as workers report it, and dead letters, counted as they come."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.records import ConsumedRecord
from schemas import dead_letter
from streams.batches import Output
from streams.control.letters import counts
from streams.control.waiting_letters import WaitingOf, added
from streams.dead_letters.letters import DoneWith, Letter, letter_of
from streams.export.lists.waiting import REPORT_SECONDS, WaitingReports
from streams.export.rules.waiting import FORGET_SECONDS, WAITING, Undelivered, WaitingReport, undelivered
from streams.export.sending.queue import SendQueue


def test_reports_count_together_while_they_are_new() -> None:
    now = 1_000.0
    new = WaitingReport(2, 900_000, 1_000_000)
    older = WaitingReport(3, 800_000, int((now - FORGET_SECONDS) * 1_000))
    ended = WaitingReport(5, 1_000, int((now - FORGET_SECONDS) * 1_000) - 1)
    assert undelivered([new, older, ended], now) == Undelivered(5, 800.0)
    assert undelivered([ended], now) == Undelivered()


def test_what_is_no_report_is_none() -> None:
    report = WaitingReport(1, 2, 3)
    assert WaitingReport.from_bytes(report.to_bytes()) == report
    assert [WaitingReport.from_bytes(value) for value in (b"{", b"[]", b'{"people": 1}')] == [None] * 3


class Published:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        """Keep the records."""
        self.outputs += outputs


async def test_a_worker_reports_who_waits_for_long_and_once_that_nobody_does() -> None:
    queue, now, published = SendQueue(), [100.0], Published()
    lists: dict[str, Any] = {"list": SimpleNamespace(queue=queue), "empty": SimpleNamespace(queue=SendQueue())}
    reports = WaitingReports("state", "w", published, lists, lambda: now[0], lambda: 5_000 + now[0])
    queue.touch((0, b"a"), 100.0)
    queue.touch((0, b"b"), 101.0)
    now[0] += REPORT_SECONDS - 0.1
    await reports.report()
    assert published.outputs == [], "a worker that keeps up writes nothing"
    now[0] = 110.0
    await reports.report()
    (output,) = published.outputs
    assert (output.topic, output.key) == ("state", WAITING + b"w")
    assert WaitingReport.from_bytes(output.value or b"") == WaitingReport(2, 5_100_000, 5_110_000)
    queue.drop((0, b"a"))
    queue.drop((0, b"b"))
    for _time in range(3):
        await reports.report()
    assert [output.value for output in published.outputs[1:]] == [None]


@given(
    st.lists(
        st.tuples(st.sampled_from(["live", "backfill", "take", "done", "drop", "retry"]), st.integers(0, 5)),
        max_size=40,
    )
)
def test_the_first_of_a_queue_has_waited_longest(plays: list[tuple[str, int]]) -> None:
    queue = SendQueue()
    for now, (what, number) in enumerate(plays):
        key = 0, b"%d" % number
        if what in ("live", "backfill"):
            queue.touch(key, now, live=what == "live")
        elif what == "take":
            queue.next_batch(now, 1, 1)
        elif what == "done" and queue.has_request(key):
            queue.done(key, now)
        elif what == "drop":
            queue.drop(key)
        elif what == "retry" and queue.has_request(key):
            queue.retry_at(next(person for person in queue.people() if person.key == key), now + 1)
        assert queue.oldest_since() == min((person.since for person in queue.people()), default=None)


def letter(offset: int, reason: str, times: int) -> Letter:
    headers = [(dead_letter.REASON, reason.encode()), (dead_letter.TIMES, b"%d" % times)]
    headers += [(dead_letter.STAGE, b"schema"), (dead_letter.AT, b"2026-01-%02d" % (offset % 28))]
    return letter_of(ConsumedRecord("t.dlq", 0, offset, b"k", b"v", headers))


@given(
    st.lists(st.tuples(st.sampled_from(["one", "two"]), st.integers(1, 3)), max_size=20),
    st.integers(0, 20),
    st.frozensets(st.integers(0, 20)),
)
def test_letters_counted_as_they_come_are_those_counted_at_once(
    made: list[tuple[str, int]], before: int, also: frozenset[int]
) -> None:
    letters = [letter(offset, *values) for offset, values in enumerate(made)]
    done = DoneWith(before, also)
    waiting = WaitingOf(done, min(before, len(letters)))
    for found in letters[waiting.next :]:
        waiting.add(found)
    assert added("t", [waiting]) == counts("t", [found for found in letters if not done.has(found.record.offset)])


def test_a_partition_is_counted_again_when_letters_of_it_were_done_with_or_have_expired() -> None:
    waiting = WaitingOf(DoneWith(), 0)
    for offset in (3, 4):
        waiting.add(letter(offset, "one", 1))
    assert waiting.is_current(DoneWith(), 3, 5)
    assert waiting.is_current(DoneWith(), 0, 9)
    assert not waiting.is_current(DoneWith(), 4, 9), "the first has expired"
    assert not waiting.is_current(DoneWith(4), 0, 9)
    assert not waiting.is_current(DoneWith(0, frozenset({4})), 0, 9)
    assert not waiting.is_current(DoneWith(), 0, 4), "the topic was created again"
