"""When a stall or a pause ends the process, and when it must not."""

import confluent_kafka
from confluent_kafka import TopicPartition

from streams.batches import ExitCode, Metrics
from streams.batches.core.halt import PauseGuard
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


def test_offsets_are_asked_for_by_a_consumer() -> None:
    metrics = Metrics()
    dog = Watchdog(_Group(), lambda: [A, B], 30, metrics)
    dog.check()
    lags = [metrics.value("batches_lag_records", topic="t", partition=number) for number in (0, 1)]
    assert lags == [60, 101]


class _Dog(Watchdog):
    committed: dict[tuple[str, int], int]
    down = False

    def _readable(self, owned):  # type: ignore[no-untyped-def]
        if self.down:
            raise confluent_kafka.KafkaException("down")
        return {A: 100}

    def _committed(self, owned):  # type: ignore[no-untyped-def]
        return self.committed


def test_the_process_ends_with_the_partition_and_its_offsets_in_the_message() -> None:
    ended: list[tuple[ExitCode, str]] = []
    now = [0.0]
    metrics = Metrics()
    dog = _Dog(
        None, lambda: [A], 30, metrics, end_process=lambda c, m, stacks: ended.append((c, m)), clock=lambda: now[0]
    )
    dog.committed = {A: 40}
    dog.check()
    assert metrics.value("batches_lag_records", topic="t", partition=0) == 60
    now[0] = 20
    dog.down = True
    dog.check()
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
