"""When an address came onto the client's suppression list, which several lists may share.

Campaign Monitor answers this for no single address, so the list is read by pages, newest first, as far back as somebody
asks, and forgotten soon after. Only who would be made active again is looked up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging, address_key
from schemas.envelope import EpochMillis
from streams.export.sending.consent import UNREADABLE, Suppression, ToUtc

FRESH_SECONDS = 30.0
"""How long what was read is used. Who is suppressed meanwhile is taken off lists with it, as their state shows."""
BY_PERSON = frozenset({"unsubscribed", "bounced"})
"""Reasons that are people's or their mail system's; the others are the account's own decision."""


@dataclass(slots=True)
class _ReadSoFar:
    at: float
    found: dict[str, Suppression]
    oldest: EpochMillis = UNREADABLE
    next_page: int = 1
    complete: bool = False


class SuppressionList:
    """One client's suppression list."""

    def __init__(self, fetch: Callable[[Paging], Awaitable[Page]], to_utc: ToUtc, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._to_utc = to_utc
        self._clock = clock
        self._read = _ReadSoFar(float("-inf"), {})
        self._lock = asyncio.Lock()

    async def find(self, address: str, since: EpochMillis) -> Suppression | None:
        """Return an address's row; None: there is none, or none from `since` on. Raises what the calls raise."""
        key = address_key(address)
        async with self._lock:
            if self._clock() - self._read.at > FRESH_SECONDS:
                self._read = _ReadSoFar(self._clock(), {})
            read = self._read
            while key not in read.found and not read.complete and read.oldest >= since:
                await self._next_page(read)
            return read.found.get(key)

    async def _next_page(self, read: _ReadSoFar) -> None:
        page = await self._fetch(Paging(read.next_page, order_field="date", direction="desc"))
        for row in page.rows:
            try:
                at = int((await self._to_utc(str(row.get("Date", "")))).timestamp() * 1000)
            except ValueError:
                at = UNREADABLE
            by_person = str(row.get("SuppressionReason", "")).casefold() in BY_PERSON
            read.found.setdefault(address_key(str(row.get("EmailAddress", ""))), Suppression(at, by_person))
            read.oldest = min(read.oldest, at)
        read.next_page += 1
        read.complete = page.last
