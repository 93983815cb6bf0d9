"""What an account at Campaign Monitor has, by the ids that jobs need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from connectors.campaign_monitor.client.entities import ClientRef

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor


class AccountList(NamedTuple):
    """A list, and whose it is."""

    client_id: str
    client_name: str
    list_id: str
    name: str


class SentCampaign(NamedTuple):
    """A campaign that was sent."""

    campaign_id: str
    name: str
    subject: str
    sent_at: str
    """In the client's zone, as Campaign Monitor writes it."""
    recipients: int


async def newest_campaigns(api: "CampaignMonitor", client_id: str) -> Sequence[SentCampaign]:
    """Return the campaigns of a client, the newest page of them. Raises CampaignMonitorError."""
    rows = (await api.clients.campaigns(client_id)).rows
    return [
        SentCampaign(
            f"{row.get('CampaignID') or ''}",
            f"{row.get('Name') or ''}",
            f"{row.get('Subject') or ''}",
            f"{row.get('SentDate') or ''}",
            int(row.get("TotalRecipients") or 0),
        )
        for row in rows
    ]


async def account_clients(api: "CampaignMonitor") -> Sequence[ClientRef]:
    """Return the clients of an account. Raises CampaignMonitorError."""
    return await api.clients.all()


async def account_lists(api: "CampaignMonitor", client_id: str | None = None) -> Sequence[AccountList]:
    """Return the lists of a client, or of all clients. Raises CampaignMonitorError.

    A client that is named has no name here: a client's own key cannot read the clients.
    """
    owners = [ClientRef(client_id, "")] if client_id else await account_clients(api)
    return [
        AccountList(owner.client_id, owner.name, found.list_id, found.name)
        for owner in owners
        for found in await api.clients.lists(owner.client_id)
    ]


def by_id(lists: Sequence[AccountList], text: str) -> AccountList | None:
    """Return the list of `CLIENT/LIST`, or None."""
    client_id, _slash, list_id = text.partition("/")
    return next((found for found in lists if (found.client_id, found.list_id) == (client_id, list_id)), None)
