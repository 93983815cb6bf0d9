"""`cm-streams account`: what an account at Campaign Monitor has, by the ids that jobs need."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from streams.cli.control import refusals, refuse, with_account
from streams.cli.output import JsonLines, add_row, print_table, table_of
from streams.control.accounts import account_clients, account_lists

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What an account has: clients, lists, fields, segments."
)

WhoseAccount = Annotated[str, typer.Option("--authorization", help="Whose account: `auth list`.", show_default=False)]
OneClient = Annotated[str | None, typer.Option("--client", help="Only this client's; without it all clients'.")]
WhichList = Annotated[str, typer.Option("--list", help="Id of the list: `account lists`.", show_default=False)]

Rows = Sequence[tuple[str, ...]]


@app.command()
def clients(authorization: WhoseAccount, as_json: JsonLines = False) -> None:
    """List the clients of an account."""

    async def read(api: "CampaignMonitor") -> Rows:
        return [(client.client_id, client.name) for client in await account_clients(api)]

    _show(authorization, ("client", "name"), read, as_json=as_json)


@app.command()
def lists(authorization: WhoseAccount, client: OneClient = None, as_json: JsonLines = False) -> None:
    """List the lists of a client, or of all clients."""

    async def read(api: "CampaignMonitor") -> Rows:
        return [(found.client_id, found.list_id, found.name) for found in await account_lists(api, client)]

    _show(authorization, ("client", "list", "name"), read, as_json=as_json)


@app.command()
def fields(authorization: WhoseAccount, list_id: WhichList, as_json: JsonLines = False) -> None:
    """List the custom fields of a list, and their options: with `Lytics Audiences` these are its audiences."""

    async def read(api: "CampaignMonitor") -> Rows:
        found = await api.lists.custom_fields(list_id)
        return [(field.name, field.data_type, ", ".join(field.options)) for field in found]

    _show(authorization, ("field", "type", "options"), read, as_json=as_json)


@app.command()
def segments(authorization: WhoseAccount, list_id: WhichList, as_json: JsonLines = False) -> None:
    """List the segments of a list."""

    async def read(api: "CampaignMonitor") -> Rows:
        return [(segment.segment_id, segment.title) for segment in await api.lists.segments(list_id)]

    _show(authorization, ("segment", "title"), read, as_json=as_json)


def _show(
    authorization: str,
    names: tuple[str, ...],
    read: Callable[["CampaignMonitor"], Awaitable[Rows]],
    *,
    as_json: bool,
) -> None:
    async def opened() -> Rows:
        async with with_account() as (_jobs, _authorizations, open_api):
            return await read(await open_api(authorization))

    with refusals():
        try:
            rows = asyncio.run(opened())
        except (CampaignMonitorError, LookupError) as fault:
            refuse(f"Campaign Monitor cannot be read with authorization {authorization}: {fault}")
    if as_json:
        for row in rows:
            typer.echo(orjson.dumps(dict(zip(names, row, strict=True))).decode())
        return
    table = table_of(*names)
    for row in rows:
        add_row(table, *row)
    print_table(table)
