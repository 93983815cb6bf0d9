"""Campaign Monitor's API: one object per resource, one method per endpoint, one attempt per call.

    async with CampaignMonitor.open(ApiKey(key), settings) as api:
        for ref in await api.clients.all():
            page = await api.lists.subscribers(list_id, "active", Paging(page=1))

Every method makes one attempt (plus one replay after a token refresh) and raises `errors.CampaignMonitorError`, whose
`.verdict` is what it means; `errors.retry.call_with_retries` retries a call where that is wanted.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.client import responses
from connectors.campaign_monitor.client.caller import Caller, read
from connectors.campaign_monitor.client.client_endpoints import Campaigns, Clients, Journeys
from connectors.campaign_monitor.client.list_endpoints import Lists, Segments, Webhooks
from connectors.campaign_monitor.client.requests import Request
from connectors.campaign_monitor.client.subscriber_endpoints import Subscribers
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Credential
from connectors.campaign_monitor.limits.limiter import Limiter


class CampaignMonitor:
    """All endpoints that we use, for one account."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.clients = Clients(caller)
        self.lists = Lists(caller)
        self.subscribers = Subscribers(caller)
        self.segments = Segments(caller)
        self.campaigns = Campaigns(caller)
        self.journeys = Journeys(caller)
        self.webhooks = Webhooks(caller)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, credential: Credential, settings: CampaignMonitorSettings, limiter: Limiter | None = None
    ) -> AsyncIterator[Self]:
        """Open a connection pool for one account and close it at the end.

        Where several accounts share a process, make one `Transport`, and per account one `Limiter` and
        `CampaignMonitor(Account(transport, credential, settings, limiter))`. For a backfill that must not delay live
        changes, a second one on `account.with_priority("background")`.
        """
        async with Transport(settings) as transport:
            yield cls(Account(transport, credential, settings, limiter or Limiter.of(settings)))

    async def systemdate(self) -> str:
        """GET /systemdate: the time in the account's zone, `YYYY-MM-DD HH:MM:SS`. The cheapest test of a credential."""
        body = await read(self.caller, Request("GET", "/systemdate"), responses.mapping)
        return responses.text(body, "SystemDate")

    async def timezones(self) -> list[str]:
        """GET /timezones: every label that a client's zone may have."""
        return await read(self.caller, Request("GET", "/timezones"), responses.strings)

    async def countries(self) -> list[str]:
        """GET /countries: English names, which are also the options of Country fields."""
        return await read(self.caller, Request("GET", "/countries"), responses.strings)
