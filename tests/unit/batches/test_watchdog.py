"""When the watchdog must bark, and when it must not."""

import confluent_kafka

from streams.batches import ExitCode, Metrics
from streams.batches.pause import PauseGuard
from streams.batches.watchdog import StallRule, Watchdog

A, B = ("t", 0), ("t", 1)


def test_a_standing_offset_with_records_waiting_is_a_stall() -> None:
    rule = StallRule(30)
    assert rule.observe(0, {A: 5}, {A: 10}) == {}
    assert rule.observe(29, {A: 5}, {A: 20}) == {}
    assert rule.observe(30, {A: 5}, {A: 30}) == {A: 30}


def test_any_progress_starts_the_time_anew() -> None:
    rule = StallRule(30)
    rule.observe(0, {A: 5}, {A: 10})
    assert rule.observe(25, {A: 6}, {A: 10}) == {}
    assert rule.observe(50, {A: 6}, {A: 10}) == {}
    assert rule.observe(55, {A: 6}, {A: 10}) == {A: 30}


def test_g5_nothing_readable_is_no_stall_however_long() -> None:
    rule = StallRule(30)
    for now in range(0, 10_000, 10):
        assert rule.observe(now, {A: 10}, {A: 10}) == {}


def test_never_committed_counts_as_standing() -> None:
    rule = StallRule(30)
    rule.observe(0, {}, {A: 1})
    assert rule.observe(31, {}, {A: 1}) == {A: 31}


def test_partitions_are_judged_apart() -> None:
    rule = StallRule(30)
    rule.observe(0, {A: 1, B: 1}, {A: 9, B: 9})
    assert rule.observe(40, {A: 2, B: 1}, {A: 9, B: 9}) == {B: 40}


def test_time_without_an_answer_of_the_broker_does_not_count() -> None:
    rule = StallRule(30)
    rule.observe(0, {A: 5}, {A: 10})
    rule.blind()
    assert rule.observe(40, {A: 5}, {A: 10}) == {}


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
    said: list[tuple[ExitCode, str]] = []
    now = [0.0]
    metrics = Metrics()
    dog = _Dog(
        None, "g", lambda: [A], 30, metrics, ended=lambda c, m, stacks: said.append((c, m)), clock=lambda: now[0]
    )
    dog.committed = {A: 40}
    dog.look()
    assert metrics.value("batches_lag_records", topic="t", partition=0) == 60
    now[0] = 20
    dog.down = True
    dog.look()
    dog.down = False
    now[0] = 45
    dog.look()
    assert said == []
    now[0] = 80
    dog.look()
    assert said == [(ExitCode.STALLED, "readable records wait and nothing is committed: t[0] at 40 of 100 for 35 s")]


def test_g9_a_pause_is_noticed_before_anything_is_sent() -> None:
    said: list[ExitCode] = []
    now = [100.0]
    guard = PauseGuard(15, clock=lambda: now[0], ended=lambda code, why: said.append(code))
    now[0] = 114
    guard.check()
    assert said == []
    now[0] = 116
    guard.check()
    assert said == [ExitCode.PAUSED]
