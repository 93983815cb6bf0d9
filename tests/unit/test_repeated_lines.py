"""What is logged again and again is one line a minute."""

import json
import logging
from typing import Any

import pytest
import structlog

from connectors import logs, repeated_lines
from connectors.repeated_lines import RepeatedLines


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def line(name: str, text: Any, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, text, (), None)


def test_a_broker_that_is_away_is_one_line_a_minute(clock: Clock) -> None:
    """A line of the client each second: its durations and counts differ, and what it states does not."""
    lines = RepeatedLines(clock)
    passed = []
    for second in range(150):
        clock.now = float(second)
        record = line("librdkafka", f"FAIL: connect to 127.0.0.1:9092 failed (after {second}ms)", logging.INFO)
        if lines.filter(record):
            passed.append(record.getMessage())
    assert [text.partition("(")[0] for text in passed] == ["FAIL: connect to 127.0.0.1:9092 failed "] * 3
    assert passed[1].endswith("(repeated 59 times)")


def test_another_state_is_logged_at_once(clock: Clock) -> None:
    lines = RepeatedLines(clock)
    assert lines.filter(line("librdkafka", "connection refused"))
    assert lines.filter(line("librdkafka", "all brokers are down"))
    assert not lines.filter(line("librdkafka", "connection refused"))


def test_two_warnings_with_different_values_are_two_lines(clock: Clock) -> None:
    lines = RepeatedLines(clock)
    events = [{"event": "record refused", "offset": offset, "timestamp": n} for n, offset in enumerate((1, 2, 1))]
    assert [lines.filter(line("streams", event)) for event in events] == [True, True, False]
    clock.now = 61.0
    again = line("streams", {"event": "record refused", "offset": 1, "timestamp": 9})
    assert lines.filter(again)
    assert again.msg["repeated"] == 1  # type: ignore[index]  # structlog's event


def test_two_errors_behind_one_message_are_two_lines(clock: Clock) -> None:
    lines = RepeatedLines(clock)
    passed = []
    for error in (ValueError("a"), ValueError("b"), ValueError("a")):
        record = line("mode", "crashed")
        record.exc_info = (type(error), error, None)
        passed.append(lines.filter(record))
    assert passed == [True, True, False]


def test_information_of_ours_is_never_left_out(clock: Clock) -> None:
    lines = RepeatedLines(clock)
    assert all(lines.filter(line("streams", {"event": "checkpoint"}, logging.INFO)) for _ in range(3))


def test_what_is_known_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_lines, "MAX_KNOWN", 3)
    lines = RepeatedLines(clock)
    assert all(lines.filter(line("streams", {"event": "refused", "offset": n})) for n in range(10))
    assert len(lines._known) <= 3


def test_every_process_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    before, config = logging.getLogger().handlers[:], structlog.get_config()
    try:
        logs.configure("json", "info", process="test")
        for _ in range(3):
            structlog.get_logger("ours").warning("the broker is gone", address="x:1")
            logging.getLogger("librdkafka").error("connect failed")
        lines = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    finally:
        logging.getLogger().handlers[:] = before
        structlog.configure(**config)
    assert [found["event"] for found in lines] == ["the broker is gone", "connect failed"]
