"""What a credential may do at Campaign Monitor, found out by calls that change nothing.

An API key may do everything in its account, an OAuth token what was granted. No call lists the grant, so each
permission has a call that is refused with code 60 without it, and with it shows nobody and changes nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from connectors.campaign_monitor.client.entities import ClientRef
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.errors.exceptions import (
    PermissionMissing,
    RequestRejected,
    ResourceMissing,
    SubscriberRefused,
)
from connectors.campaign_monitor.oauth import SCOPES
from connectors.control.jobs import ExportOrImportJob
from schemas.control import ExportJob

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor

NOBODY = "nobody"
"""No address: nobody can have it."""
NO_WEBHOOK = "0" * 32
"""The id of no webhook."""


class Permission(NamedTuple):
    """A permission by Campaign Monitor's name, what it is for, and a call that needs it.

    `probe` takes the API, a client's id and the id of one of its lists.
    """

    name: str
    use: str
    needs_list: bool
    probe: Callable[["CampaignMonitor", str, str], Awaitable[object]]


PERMISSIONS = (
    Permission(
        "ManageLists",
        SCOPES["ManageLists"],
        True,
        lambda api, _client, list_id: api.webhooks.deactivate(list_id, NO_WEBHOOK),
    ),
    Permission(
        "ImportSubscribers",
        SCOPES["ImportSubscribers"],
        True,
        lambda api, _client, list_id: api.subscribers.unsubscribe(list_id, NOBODY),
    ),
    Permission(
        "ViewReports",
        SCOPES["ViewReports"],
        False,
        lambda api, client, _list: api.clients.campaigns(client, Paging(page_size=10)),
    ),
    Permission(
        "ViewSubscribersInReports",
        SCOPES["ViewSubscribersInReports"],
        True,
        lambda api, _client, list_id: api.subscribers.history(list_id, NOBODY),
    ),
    Permission("Automation", SCOPES["Automation"], False, lambda api, client, _list: api.clients.journeys(client)),
)
BY_NAME: Mapping[str, Permission] = {permission.name: permission for permission in PERMISSIONS}


async def granted(api: "CampaignMonitor", permission: Permission, client_id: str, list_id: str | None) -> bool | None:
    """Return whether the credential has a permission; None where it takes a list to know, and there is none.

    What else is wrong with the call shows that it has. Raises CampaignMonitorError: the credential is refused, or there
    is no answer.
    """
    if permission.needs_list and list_id is None:
        return None
    try:
        await permission.probe(api, client_id, list_id or "")
    except PermissionMissing:
        return False
    except (RequestRejected, ResourceMissing, SubscriberRefused):
        return True
    return True


def needed_by(job: ExportOrImportJob) -> Iterable[Permission]:
    """Return the permissions without which a job cannot do all of its work."""
    if isinstance(job, ExportJob):
        names = ["ManageLists", "ImportSubscribers"]
    else:
        names = ["ViewReports", "ViewSubscribersInReports"] if job.activities else []
        names += ["Automation"] if job.activities and job.journeys else []
    return [BY_NAME[name] for name in names]


class ClientLists(NamedTuple):
    """A client, and how many lists it has."""

    client_id: str
    name: str
    lists: int


class Access(NamedTuple):
    """What an authorization reaches: when it is there, its clients, and its permissions by name."""

    account_time: str
    clients: list[ClientLists]
    permissions: dict[str, bool | None]


async def account_access(api: "CampaignMonitor", client_id: str | None = None) -> Access:
    """Use an authorization: read its account, and find out each permission. Nothing is changed.

    A client's own key names no clients: `client_id` does. Raises CampaignMonitorError.
    """
    clock = await api.systemdate()
    refs = [ClientRef(client_id, "")] if client_id else await api.clients.all()
    lists = {ref.client_id: await api.clients.lists(ref.client_id) for ref in refs}
    owner = max(lists, key=lambda client: len(lists[client]), default=None)
    list_id = lists[owner][0].list_id if owner is not None and lists[owner] else None
    has = {
        permission.name: await granted(api, permission, owner, list_id) if owner is not None else None
        for permission in PERMISSIONS
    }
    return Access(clock, [ClientLists(ref.client_id, ref.name, len(lists[ref.client_id])) for ref in refs], has)
