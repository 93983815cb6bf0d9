"""Which time zone each client has now: people may choose another one while a run is open, or waits for weeks."""

import asyncio
import time

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import ClientDetails

LOOK_SECONDS = 300.0
"""Rows that are read within it after a change are dated in the zone before. Shorter: more calls for nothing."""


class ClientZones:
    """Labels of clients' zones, each looked up when it was last seen so long ago, by one call at a time."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def see(self, client: ClientDetails) -> None:
        """Keep the label of a client that was just looked up."""
        self._seen[client.client_id] = (client.time_zone, time.monotonic())

    def known(self, client_id: str) -> str | None:
        """Return the label, None when it has to be looked up."""
        label, at = self._seen.get(client_id, (None, 0.0))
        return label if label is not None and time.monotonic() - at < LOOK_SECONDS else None

    async def look_up(self, api: CampaignMonitor, client_id: str) -> str:
        """Return the label, which takes a call unless another one was made meanwhile.

        Raises CampaignMonitorError.
        """
        async with self._locks.setdefault(client_id, asyncio.Lock()):
            label = self.known(client_id)
            if label is None:
                client = await api.clients.details(client_id)
                self.see(client)
                label = client.time_zone
            return label
