"""The client's suppression list is read newest first, no further than somebody asks, and not for ever."""

from datetime import UTC, datetime

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging
from streams.export.lists.suppression import FRESH_SECONDS, SuppressionList
from streams.export.rules.row import NEVER
from streams.export.sending.consent import UNREADABLE, Suppression

ROWS = [("new", "90", "Unsubscribed"), ("odd", "", "Unsubscribed"), ("mid", "60", "Reason Unavailable"),
        ("old", "30", "Bounced"), ("new", "10", "Bounced")]  # fmt: skip
"""Address, second since 1970, reason; one row a page."""


class Client:
    """Answers pages, and counts them."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.now = 0.0

    async def fetch(self, paging: Paging) -> Page:
        assert (paging.order_field, paging.direction) == ("date", "desc")
        self.read.append(paging.page)
        name, date, reason = ROWS[paging.page - 1]
        row = {"EmailAddress": f"{name}@example.com", "Date": date, "SuppressionReason": reason, "State": "Suppressed"}
        return Page([row], "Date", "DESC", paging.page, 1, 1, len(ROWS), len(ROWS))

    async def to_utc(self, text: str) -> datetime:
        return datetime.fromtimestamp(int(text), UTC)


async def test_no_page_is_read_that_nobody_needs() -> None:
    client = Client()
    suppressed = SuppressionList(client.fetch, client.to_utc, lambda: client.now)
    assert await suppressed.find("New@example.com", NEVER) == Suppression(90_000, by_person=True)
    assert await suppressed.find("nobody@example.com", 95_000) is None
    assert client.read == [1]
    assert await suppressed.find("nobody@example.com", 61_000) is None
    assert client.read == [1, 2, 3]
    assert await suppressed.find("mid@example.com", 95_000) == Suppression(60_000, by_person=False)
    assert await suppressed.find("odd@example.com", NEVER) == Suppression(UNREADABLE, by_person=True)
    assert client.read == [1, 2, 3]
    assert await suppressed.find("nobody@example.com", NEVER) is None
    assert client.read == [1, 2, 3, 4, 5]


async def test_what_was_read_is_forgotten() -> None:
    client = Client()
    suppressed = SuppressionList(client.fetch, client.to_utc, lambda: client.now)
    await suppressed.find("new@example.com", NEVER)
    client.now += FRESH_SECONDS + 1
    await suppressed.find("new@example.com", NEVER)
    assert client.read == [1, 1]
