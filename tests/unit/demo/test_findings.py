"""What the demonstration finds, also where somebody else has published to its topics."""

import orjson
import pytest

from streams.demo import findings
from streams.demo.findings import TopicRecord

ACTIVITY = {"source": "campaign", "event": "open", "event_id": "e1", "email": "a@example.com"}
ODD = [
    b'{"list_id": "l"}',
    b'{"source": {"offset": "x"}}',
    b"{not json",
    b"\xff\xfe",
    b"7",
    b"[]",
    b"null",
    b"{}",
    b'{"source": 7, "email": 7}',
    b"",
    None,
]


def records(*bodies):
    return [TopicRecord(str(number).encode(), body) for number, body in enumerate(bodies)]


@pytest.mark.parametrize("odd", ODD)
def test_records_that_are_none_of_ours_change_no_finding(odd):
    ours, more = records(orjson.dumps(ACTIVITY)), records(orjson.dumps(ACTIVITY), odd)
    for find in (
        lambda some: findings.receipts(some, 1),
        lambda some: findings.imported_users(some, {"l": {"a@example.com"}}),
        lambda some: findings.imported_activity(some, {"open": 1}),
        lambda some: findings.webhook_unsubscribes(some, "l", {"a@example.com"}),
        lambda some: findings.profiles([], some, some),
    ):
        assert find(more) == find(ours)
    findings.profiles(more, more, more)
