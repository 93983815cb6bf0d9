"""What an account at Campaign Monitor has: clients, lists, fields, segments, campaigns; kept briefly."""

from pydantic import BaseModel, Field

from streams.console.api.operation import ApiAnswer, Call, Operation, OperationHandler, RequestQuery
from streams.console.pages.job_forms import clients_of, fields_of, lists_of
from streams.control.accounts import newest_campaigns

BY_ACCOUNT = (409, 502)
"""Every operation here asks Campaign Monitor."""


class ListsQuery(RequestQuery):
    """Whose lists."""

    client: str = Field(default="", max_length=100, description="Only this client's; all clients' without it.")


class ListedClient(ApiAnswer):
    """A client."""

    client: str
    name: str


class ClientsAnswer(ApiAnswer):
    """Clients of an account."""

    items: list[ListedClient]


class ListedList(ApiAnswer):
    """A list, and whose it is."""

    client: str
    client_name: str
    list: str
    name: str


class ListsAnswer(ApiAnswer):
    """Lists of an account."""

    items: list[ListedList]


class ListedField(ApiAnswer):
    """A custom field of a list."""

    field: str
    type: str
    options: list[str]


class FieldsAnswer(ApiAnswer):
    """Custom fields of a list."""

    items: list[ListedField]


class ListedSegment(ApiAnswer):
    """A segment of a list."""

    segment: str
    title: str


class SegmentsAnswer(ApiAnswer):
    """Segments of a list."""

    items: list[ListedSegment]


class ListedCampaign(ApiAnswer):
    """A campaign that was sent."""

    campaign: str
    name: str
    subject: str
    sent_at: str = Field(description="In the client's zone, as Campaign Monitor writes it.")
    recipients: int


class CampaignsAnswer(ApiAnswer):
    """The newest campaigns of a client."""

    items: list[ListedCampaign]


async def list_clients(call: Call) -> ClientsAnswer:
    """List the clients of an account."""
    authorization_id = await _opened(call)
    found = await clients_of(call.console, authorization_id)
    return ClientsAnswer(items=[ListedClient(client=entry.client_id, name=entry.name) for entry in found])


async def list_lists(call: Call) -> ListsAnswer:
    """List the lists of a client, or of all clients."""
    authorization_id, client = await _opened(call), call.asked(ListsQuery).client
    found = await lists_of(call.console, authorization_id, client or None)
    shown = [
        ListedList(client=entry.client_id, client_name=entry.client_name, list=entry.list_id, name=entry.name)
        for entry in found
    ]
    return ListsAnswer(items=shown)


async def list_fields(call: Call) -> FieldsAnswer:
    """List the custom fields of a list, and their options: with `Lytics Audiences` these are its audiences."""
    authorization_id = await _opened(call)
    found = await fields_of(call.console, authorization_id, call.part("list"))
    return FieldsAnswer(
        items=[ListedField(field=entry.name, type=entry.data_type, options=list(entry.options)) for entry in found]
    )


async def list_segments(call: Call) -> SegmentsAnswer:
    """List the segments of a list."""
    list_id, api = call.part("list"), await call.api(call.part("authorization"))
    key = ("segments", call.part("authorization"), list_id)
    found = await call.console.recent.get(key, lambda: api.lists.segments(list_id))
    return SegmentsAnswer(items=[ListedSegment(segment=entry.segment_id, title=entry.title) for entry in found])


async def list_campaigns(call: Call) -> CampaignsAnswer:
    """List the newest campaigns of a client that were sent."""
    client_id, api = call.part("client"), await call.api(call.part("authorization"))
    key = ("campaigns", call.part("authorization"), client_id)
    found = await call.console.recent.get(key, lambda: newest_campaigns(api, client_id))
    return CampaignsAnswer(
        items=[
            ListedCampaign(
                campaign=entry.campaign_id,
                name=entry.name,
                subject=entry.subject,
                sent_at=entry.sent_at,
                recipients=entry.recipients,
            )
            for entry in found
        ]
    )


async def _opened(call: Call) -> str:
    """Return the authorization, which opens its account. Raises UnknownAuthorizationError, ApiRefusal."""
    await call.api(call.part("authorization"))
    return call.part("authorization")


def _operation(
    path: str, handle: OperationHandler, answer: type[BaseModel], query: type[BaseModel] | None = None
) -> Operation:
    return Operation(
        method="GET",
        path=f"/accounts/{{authorization}}{path}",
        needs="viewer",
        handle=handle,
        query=query,
        answer=answer,
        problems=BY_ACCOUNT,
    )


OPERATIONS = (
    _operation("/clients", list_clients, ClientsAnswer),
    _operation("/lists", list_lists, ListsAnswer, ListsQuery),
    _operation("/lists/{list}/fields", list_fields, FieldsAnswer),
    _operation("/lists/{list}/segments", list_segments, SegmentsAnswer),
    _operation("/clients/{client}/campaigns", list_campaigns, CampaignsAnswer),
)
