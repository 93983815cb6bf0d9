"""When a stall or a pause ends the process, and when it must not."""

from types import SimpleNamespace
from typing import Any

import confluent_kafka
from confluent_kafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.batches import ExitCode, Metrics
from streams.batches.core.halt import PauseGuard
from streams.batches.process.lag import GroupLag
from streams.batches.process.watchdog import StallRule, Watchdog

A, B = ("t", 0), ("t", 1)


def test_an_offset_that_does_not_move_with_records_waiting_is_a_stall() -> None:
    rule = StallRule(30)
    assert rule.observe(0, {A: 5}, {A: 10}) == {}
    assert rule.observe(29, {A: 5}, {A: 20}) == {}
    assert rule.observe(30, {A: 5}, {A: 30}) == {A: 30}


def test_any_progress_restarts_the_time() -> None:
    rule = StallRule(30)
    rule.observe(0, {A: 5}, {A: 10})
    assert rule.observe(25, {A: 6}, {A: 10}) == {}
    assert rule.observe(50, {A: 6}, {A: 10}) == {}
    assert rule.observe(55, {A: 6}, {A: 10}) == {A: 30}


def test_g5_nothing_readable_is_no_stall_however_long() -> None:
    rule = StallRule(30)
    for now in range(0, 10_000, 10):
        assert rule.observe(now, {A: 10}, {A: 10}) == {}


def test_never_committed_counts_as_not_moving() -> None:
    rule = StallRule(30)
    rule.observe(0, {}, {A: 1})
    assert rule.observe(31, {}, {A: 1}) == {A: 31}


def test_a_partition_that_waits_its_turn_is_not_stalled() -> None:
    """Twelve partitions with a batch each of 20,000 records, at 2,000 records a second: one moves every ten seconds."""
    rule = StallRule(30)
    tps = [("t", number) for number in range(12)]
    ends = dict.fromkeys(tps, 10**9)
    committed = dict.fromkeys(tps, 0)
    for now in range(0, 1200, 5):
        if now % 10 == 0:
            committed[tps[now // 10 % 12]] += 20_000
        assert rule.observe(now, committed, ends) == {}, now


def test_a_partition_that_hangs_beside_others_that_work_is_stalled() -> None:
    rule = StallRule(30)
    stalled = {}
    for now in range(0, 120, 5):
        stalled |= rule.observe(now, {A: now, B: 1}, {A: 10**9, B: 9})
    assert set(stalled) == {B}
    first = StallRule(30)
    assert next(now for now in range(0, 120, 5) if first.observe(now, {A: now, B: 1}, {A: 10**9, B: 9})) <= 60


def test_time_without_an_answer_of_the_broker_does_not_count() -> None:
    rule = StallRule(30)
    rule.observe(0, {A: 5}, {A: 10})
    rule.reset()
    assert rule.observe(40, {A: 5}, {A: 10}) == {}


class _Group:
    """What a consumer of the group answers; an admin client could end the process while a broker restarts."""

    def get_watermark_offsets(self, part: TopicPartition, timeout: float) -> tuple[int, int]:
        return (0, 100 + part.partition)

    def committed(self, parts: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition("t", part.partition, (40, -1001)[part.partition]) for part in parts]

    def assign(self, parts: list[TopicPartition]) -> None:
        self.assigned = parts

    def unassign(self) -> None:
        self.assigned = []

    def consume(self, _count: int, _seconds: float) -> list[Any]:
        return [_message(part.partition) for part in self.assigned]


def _message(partition: int) -> Any:
    return SimpleNamespace(
        error=lambda: None, topic=lambda: "t", partition=lambda: partition, timestamp=lambda: (1, 1_000 * partition)
    )


def lags_of(dog: Watchdog, name: str = "records") -> dict[str, float]:
    metrics = Metrics()
    dog.lag.measure(metrics)
    name = f"cm_streams_consumer_lag_{name}"
    return {sample.labels["partition"]: sample.value for sample in metrics.snapshot() if sample.declared.name == name}


def test_offsets_are_asked_for_by_a_consumer() -> None:
    dog = Watchdog(_Group(), lambda: [A, B], 30, "g")
    dog.check()
    assert lags_of(dog) == {"0": 60, "1": 101}


class _Log:
    """A consumer of a log whose records were written at the second that is their offset; some offsets are markers."""

    def __init__(self, markers: set[int]) -> None:
        self.markers = markers
        self.assigned: list[TopicPartition] = []
        self.reads = 0

    def assign(self, parts: list[TopicPartition]) -> None:
        self.assigned = parts
        self.reads += 1

    def unassign(self) -> None:
        self.assigned = []

    def consume(self, _count: int, _seconds: float) -> list[Any]:
        found = []
        for part in self.assigned:
            at = next(n for n in range(part.offset, 10_000) if n not in self.markers)
            found.append(
                SimpleNamespace(
                    error=lambda: None,
                    topic=lambda part=part: part.topic,
                    partition=lambda part=part: part.partition,
                    timestamp=lambda at=at: (1, 1_000 * at),
                )
            )
        return found


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), max_size=12),
    st.sets(st.integers(0, 40)),
)
def test_the_lag_in_seconds_is_the_age_of_the_oldest_record_that_is_not_committed(steps, markers) -> None:  # type: ignore[no-untyped-def]
    now = [50.0]
    lag = GroupLag(log := _Log(markers), "g", clock=lambda: now[0])
    end = committed = 0
    for produced, read, seconds in steps:
        end, now[0] = end + produced, now[0] + seconds
        committed = min(end, committed + read)
        before = log.reads
        lag.look({A: committed}, {A: end})
        assert log.reads - before <= (end > committed)
        oldest = next(n for n in range(committed, 10_000) if n not in markers)
        assert lag.seconds() == (now[0] - oldest if end > committed else 0)


def test_the_lag_of_a_partition_that_has_moved_away_is_shown_no_more() -> None:
    owned = [A, B]
    dog = Watchdog(_Group(), lambda: owned, 30, "g")
    metrics = Metrics()
    for expected in ({("0", 60), ("1", 101)}, {("0", 60)}, set()):
        dog.check()
        dog.lag.measure(metrics)
        shown = {
            (sample.labels["partition"], sample.value)
            for sample in metrics.snapshot()
            if sample.declared.name == "cm_streams_consumer_lag_records"
        }
        assert shown == expected
        owned = owned[:-1]


def test_what_could_not_be_read_waits_since_it_was_seen_first() -> None:
    now = [50.0]
    log = _Log(set())
    log.consume = lambda _count, _seconds: []  # type: ignore[method-assign]
    lag = GroupLag(log, "g", clock=lambda: now[0])
    for now[0] in (50.0, 53.0):
        lag.look({A: 1}, {A: 4})
    assert lag.seconds() == 3


class _Dog(Watchdog):
    committed: dict[tuple[str, int], int]
    down = False

    def _bounds(self, owned):  # type: ignore[no-untyped-def]
        if self.down:
            raise confluent_kafka.KafkaException("down")
        return {A: (0, 100)}

    def _committed(self, owned):  # type: ignore[no-untyped-def]
        return self.committed


def test_the_process_ends_with_the_partition_and_its_offsets_in_the_message() -> None:
    ended: list[tuple[ExitCode, str]] = []
    now = [0.0]
    dog = _Dog(
        _Group(), lambda: [A], 30, "g", end_process=lambda c, m, stacks: ended.append((c, m)), clock=lambda: now[0]
    )
    dog.committed = {A: 40}
    dog.check()
    assert lags_of(dog) == {"0": 60}
    now[0] = 20
    assert dog.problem is None
    dog.down = True
    dog.check()
    assert dog.problem == "no broker answers: down"
    dog.down = False
    now[0] = 45
    dog.check()
    assert ended == []
    now[0] = 80
    dog.check()
    assert ended == [(ExitCode.STALLED, "readable records wait and nothing is committed: t[0] at 40 of 100 for 35 s")]


def test_g9_a_pause_is_noticed_before_anything_is_sent() -> None:
    ended: list[ExitCode] = []
    now = [100.0]
    guard = PauseGuard(15, clock=lambda: now[0], end_process=lambda code, why: ended.append(code))
    now[0] = 114
    guard.check()
    assert ended == []
    now[0] = 116
    guard.check()
    assert ended == [ExitCode.PAUSED]
