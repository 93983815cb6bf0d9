"""Where reading begins, and what may be committed: never past a record that is not settled."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.batches import WrongPosition
from streams.batches.consume.offsets import (
    OffsetLedger,
    RangeLedger,
    StartPosition,
    TopicPartition,
    start_position,
    topic_metadata,
)
from streams.batches.table.changelog import STATE_HEADER, blob_of
from streams.batches.table.recovery import Plan, plan_restore
from streams.batches.table.rows import decode_blob
from streams.batches.table.store import Checkpoint

TP = TopicPartition("t", 0)


def test_batches_settled_in_order_are_committable_one_by_one() -> None:
    ledger = RangeLedger(100, 1)
    ledger.fetched(100, 200)
    ledger.fetched(200, 300)
    ledger.settled(100)
    assert ledger.committable == 200
    ledger.settled(200)
    assert ledger.committable == 300


def test_g1_second_batch_settled_first_commits_nothing() -> None:
    """The numbers of trap G1: Faust's bookkeeping commits 300 here and loses batch 1 at a kill."""
    ledger = RangeLedger(100, 1)
    ledger.fetched(100, 200)
    ledger.fetched(200, 300)
    ledger.settled(200)
    assert ledger.committable == 100
    ledger.settled(100)
    assert ledger.committable == 300


def test_g2_nothing_is_left_over_from_an_older_assignment() -> None:
    ledger = OffsetLedger()
    ledger.assign(TP, 150, 1)
    ledger.fetched(TP, 150, 260)
    ledger.revoke([TP])
    ledger.assign(TP, 100, 2)
    ledger.fetched(TP, 100, 200)
    ledger.fetched(TP, 200, 300)
    ledger.settled(TP, 100, 2)
    assert ledger.to_commit() == {TP: 200}
    ledger.committed({TP: 200}, 2)
    assert ledger.to_commit() == {}


def test_g5_the_position_is_committable_behind_transaction_markers() -> None:
    ledger = RangeLedger(10, 1)
    ledger.fetched(10, 15)
    ledger.settled(10)
    ledger.fetched(16, 16)
    assert ledger.committable == 16


def test_a6_a_failed_commit_is_offered_again() -> None:
    ledger = OffsetLedger()
    ledger.assign(TP, 0, 1, committed=0)
    ledger.fetched(TP, 0, 5)
    ledger.settled(TP, 0, 1)
    assert ledger.to_commit() == {TP: 5}
    assert ledger.to_commit() == {TP: 5}
    ledger.committed({TP: 5}, 1)
    assert ledger.to_commit() == {}


def test_calls_for_an_older_generation_are_ignored() -> None:
    ledger = OffsetLedger()
    ledger.assign(TP, 0, 2)
    ledger.fetched(TP, 0, 5)
    assert not ledger.settled(TP, 0, 1)
    assert ledger.to_commit() == {TP: 0}
    assert not ledger.fetched(("other", 0), 0, 1)


def test_a_range_before_the_position_is_refused() -> None:
    ledger = RangeLedger(10, 1)
    with pytest.raises(ValueError, match="does not follow"):
        ledger.fetched(9, 12)


def test_bytes_of_open_ranges_are_known() -> None:
    ledger = OffsetLedger()
    for partition in (0, 1):
        ledger.assign(("t", partition), 0, 1)
    ledger.fetched(("t", 0), 0, 10, 100)
    ledger.fetched(("t", 0), 10, 20, 30)
    ledger.fetched(("t", 1), 0, 10, 7)
    assert ledger.unsettled_bytes() == 137
    ledger.settled(("t", 0), 0, 1)
    assert ledger.unsettled_bytes() == 37
    ledger.revoke([("t", 1)])
    assert ledger.unsettled_bytes() == 30


def test_what_is_blocked_takes_no_room_and_still_bounds_the_commit() -> None:
    ledger = OffsetLedger()
    for topic, partition in (("t", 0), ("u", 0), ("t", 1)):
        ledger.assign((topic, partition), 0, 1)
        ledger.fetched((topic, partition), 0, 10, 100)
    ledger.discount(0)
    assert ledger.unsettled_bytes() == 100
    ledger.fetched(("t", 0), 10, 20, 5)
    assert ledger.unsettled_bytes() == 105
    ledger.settled(("t", 0), 10, 1)
    assert ledger.to_commit()[TopicPartition("t", 0)] == 0
    ledger.settled(("t", 0), 0, 1)
    assert (ledger.to_commit()[TopicPartition("t", 0)], ledger.unsettled_bytes()) == (20, 100)


class LedgerMachine(RuleBasedStateMachine):
    """Random fetches, settles, commits, revocations, assignments and seeks."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = OffsetLedger()
        self.generation = 0
        self.assigned = False
        self.position = 0
        self.unsettled: dict[int, range] = {}  # first -> offsets of records
        self.floor = 0

    @rule(position=st.integers(0, 1000))
    def assign_or_seek(self, position: int) -> None:
        self.generation += 1
        self.assigned = True
        self.position = self.floor = position
        self.unsettled = {}
        self.ledger.assign(TP, position, self.generation)

    @rule()
    def revoke(self) -> None:
        self.assigned = False
        self.unsettled = {}
        self.ledger.revoke([TP])

    @precondition(lambda self: self.assigned)
    @rule(gap=st.integers(0, 3), count=st.integers(0, 20), markers=st.integers(0, 2))
    def fetch(self, gap: int, count: int, markers: int) -> None:
        first = self.position + gap
        self.position = first + count + markers
        if count:
            self.unsettled[first] = range(first, first + count)
            self.ledger.fetched(TP, first, self.position)
        else:
            self.ledger.fetched(TP, self.position, self.position)

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(sorted(self.unsettled)))
        del self.unsettled[first]
        assert self.ledger.settled(TP, first, self.generation)

    @precondition(lambda self: self.generation > 1)
    @rule(first=st.integers(0, 1000))
    def settle_for_an_older_assignment(self, first: int) -> None:
        assert not self.ledger.settled(TP, first, self.generation - 1)

    @rule()
    def commit(self) -> None:
        self.ledger.committed(self.ledger.to_commit(), self.generation)

    @invariant()
    def committable_is_exactly_the_first_unsettled_record(self) -> None:
        if not self.assigned:
            assert self.ledger.to_commit() == {}
            return
        expected = min(self.unsettled, default=self.position)
        known = self.ledger.known_to_broker().get(TP)
        assert self.ledger.to_commit().get(TP, known) == expected
        assert self.ledger.unsettled() == len(self.unsettled)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


HERE = topic_metadata(7)


def start(committed: tuple[int, str] | None, first: int = 10, end: int = 100) -> StartPosition:
    return start_position("t", 3, committed, first, end, 7)


def test_the_committed_offset_is_where_it_begins() -> None:
    assert start((50, HERE)) == StartPosition(50)
    assert start((100, HERE)) == StartPosition(100)
    assert start((50, "")) == StartPosition(50), "offsets committed by other means carry no metadata"


def test_without_one_it_begins_with_the_first_record() -> None:
    assert start(None) == StartPosition(10)


def test_records_removed_by_retention_are_counted() -> None:
    assert start((4, HERE)) == StartPosition(10, lost=6)


def test_g8_an_offset_behind_the_end_is_refused() -> None:
    with pytest.raises(WrongPosition, match=r"t\[3\].*101.*ends at 100"):
        start((101, HERE))


def test_g8_an_offset_of_an_earlier_topic_is_refused_even_when_it_would_fit() -> None:
    with pytest.raises(WrongPosition, match=r"created again since offset 50"):
        start((50, topic_metadata(6)))


@pytest.mark.parametrize(
    ("checkpoint", "plan", "begin"),
    [
        (None, Plan.REBUILD, 10),
        (Checkpoint(7, 50), Plan.RESUME, 50),
        (Checkpoint(7, 100), Plan.RESUME, 100),
        (Checkpoint(7, 10), Plan.RESUME, 10),
        (Checkpoint(7, 101), Plan.REBUILD, 10),  # C13, G6: the store is ahead
        (Checkpoint(7, 9), Plan.REBUILD, 10),
        (Checkpoint(6, 50), Plan.REFUSE, 10),  # the changelog was deleted and created again
    ],
)
def test_what_a_local_store_is_worth(checkpoint: Checkpoint | None, plan: Plan, begin: int) -> None:
    found = plan_restore(checkpoint, 7, 10, 100)
    assert (found.plan, found.start) == (plan, begin)
    assert bool(found.reason) == (plan is not Plan.RESUME)


def test_public_records_become_blobs_with_their_hidden_state() -> None:
    assert decode_blob(blob_of(b"v", [("x", b"y"), (STATE_HEADER, b"h")], public=True) or b"") == (b"v", b"h")
    assert decode_blob(blob_of(b"v", None, public=True) or b"") == (b"v", b"")
    assert decode_blob(blob_of(None, [(STATE_HEADER, b"h")], public=True) or b"") == (None, b"h")
    assert blob_of(None, None, public=True) is None
    assert blob_of(None, None, public=False) is None
    assert blob_of(b"blob", None, public=False) == b"blob"
