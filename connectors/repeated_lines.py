"""One line for what is logged again and again: a broker that is away is a change of state, not a line every second."""

import logging
import re
import time
from collections.abc import Callable

EVERY_SECONDS = 60.0
CLIENTS = ("librdkafka", "aiokafka", "kafka")
"""Their lines differ by durations and counts only, so digits do not distinguish them."""
MAX_KNOWN = 1_000
_DIGITS = re.compile(r"\d+")


class RepeatedLines(logging.Filter):
    """Lets a warning, and any line of a Kafka client, pass once, then once a minute with how often it came meanwhile.

    Warnings of ours are the same where all their values are: two records that are refused are two lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, int]] = {}
        """Line -> when it was let through last, and how often it came since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is logged."""
        is_client = record.name.split(".")[0] in CLIENTS
        if not is_client and record.levelno < logging.WARNING:
            return True
        key = (record.name, _DIGITS.sub("0", record.getMessage()) if is_client else _values(record))
        now = self._clock()
        passed, count = self._known.get(key, (now - EVERY_SECONDS, 0))
        if now - passed < EVERY_SECONDS:
            self._known[key] = passed, count + 1
            return False
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = now, 0
        if count:
            _add_count(record, count)
        return True


def _values(record: logging.LogRecord) -> str:
    """What a line of ours states, without its time."""
    if isinstance(record.msg, dict):
        return repr(sorted((name, repr(value)) for name, value in record.msg.items() if name != "timestamp"))
    error = record.exc_info[1] if record.exc_info else None
    return f"{record.getMessage()} {error!r}"


def _add_count(record: logging.LogRecord, count: int) -> None:
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "repeated": count}  # structlog's event
    else:
        record.msg, record.args = f"{record.getMessage()} (repeated {count} times)", ()
