"""Tries out whether Campaign Monitor reaches this receiver, before webhooks are registered below its address."""

import asyncio
from collections import defaultdict

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Misconfigured
from connectors.webhook.body import path_of
from connectors.webhook.settings import WebhookSettings


class Trial:
    """Whether Campaign Monitor reaches us, tried out once for each account and check of a client.

    Sample events are sent to an address of their own: at the real one they would count as events of people.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._outcomes: dict[str, CampaignMonitorError | None] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def passed(self, api: CampaignMonitor, list_id: str, authorization_id: str) -> None:
        """Return when we are reached. Raises CampaignMonitorError; only one that names our address counts for all."""
        async with self._locks[authorization_id]:
            if authorization_id not in self._outcomes:
                try:
                    await self._try_out(api, list_id)
                except CampaignMonitorError as error:
                    if not isinstance(error.verdict, Misconfigured):
                        raise
                    self._outcomes[authorization_id] = error
                else:
                    self._outcomes[authorization_id] = None
            outcome = self._outcomes[authorization_id]
        if outcome is not None:
            raise outcome

    async def _try_out(self, api: CampaignMonitor, list_id: str) -> None:
        path = path_of(self._settings.secret, list_id, sample=True)
        trial = await api.webhooks.create(list_id, self._settings.public_url.rstrip("/") + path)
        try:
            await api.webhooks.test(list_id, trial)
        finally:
            await api.webhooks.delete(list_id, trial)
