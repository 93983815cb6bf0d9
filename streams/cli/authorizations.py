"""`cm-streams auth`: access to Campaign Monitor accounts."""

import asyncio
import contextlib
import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Tokens
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.authorizations import (
    AuthorizationInUseError,
    AuthorizationSecret,
    NoDescriptionError,
    made_up_id,
)
from connectors.control.crypto import ControlSettings, Sealer
from connectors.control.crypto import new_key as make_key
from streams.cli.control import FAILED, control, refusals, refuse, with_account
from streams.cli.output import add_row, print_line, print_table, table_of
from streams.control.permissions import PERMISSIONS, Access, account_access

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Authorizations: log in, add, test, list, rename, remove."
)

API_KEY_VARIABLE = "CAMPAIGN_MONITOR_API_KEY"
"""Read by `auth add`: a secret on the command line could be seen by every user of the machine."""


@app.command()
def add(
    authorization_id: Annotated[
        str, typer.Option("--id", help="An existing one is replaced; made up without it.")
    ] = "",
    description: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(help="File with OAuth tokens as JSON (access_token, refresh_token, expires_in); - is stdin."),
    ] = None,
) -> None:
    """Add an authorization and print its id.

    The API key is taken from CAMPAIGN_MONITOR_API_KEY, else asked for; never from the command line.
    """
    with refusals():
        sealer = Sealer.from_settings(ControlSettings())
        access = _tokens(tokens) if tokens else _api_key()
        new_id = authorization_id or made_up_id(description or "")

        async def put() -> None:
            async with control(sealer) as (_, authorizations):
                await authorizations.put(new_id, access, description=description)

        asyncio.run(put())
        typer.echo(new_id)


@app.command()
def login(
    authorization_id: Annotated[
        str, typer.Argument(metavar="[NAME]", help="An existing one is renewed, and its jobs go on; made up without.")
    ] = "",
    description: Annotated[str, typer.Option(help="A name for people; asked for when the authorization is new.")] = "",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser; it is printed in any case.")] = True,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for the log-in.")] = 300,
) -> None:
    """Add or renew an authorization by logging in at Campaign Monitor, and print its id.

    Waits at CM_OAUTH_REDIRECT_URL, on this machine, until the browser comes back. Ctrl-C stores nothing.
    """
    from connectors.campaign_monitor.oauth import SCOPES
    from connectors.control.login import LoginError, begin_login
    from streams.cli.login import log_in

    settings = CampaignMonitorSettings()

    async def stored(sealer: Sealer) -> str:
        async with control(sealer) as (_, authorizations):
            known = authorizations.get(authorization_id) if authorization_id else None
            text = description or (_described() if known is None else "")
            begun = begin_login(settings, authorization_id or made_up_id(text), text or None, time.time())

            def show() -> None:
                rights = "".join(f"\n  {scope}: {purpose}" for scope, purpose in SCOPES.items())
                typer.echo(f"Campaign Monitor will ask you to allow:{rights}", err=True)
                typer.echo(f"Open this page, log in, and choose Allow access:\n{begun.address}", err=True)
                if browser:
                    with contextlib.suppress(webbrowser.Error):
                        webbrowser.open(begun.address)

            return (await log_in(begun, settings, authorizations, show=show, seconds=timeout)).id

    with refusals():
        try:
            typer.echo(asyncio.run(stored(Sealer.from_settings(ControlSettings()))))
        except LoginError as refusal:
            refuse(str(refusal))


@app.command()
def rename(authorization_id: str, description: str) -> None:
    """Give an authorization another description."""

    async def change() -> None:
        async with control() as (_, authorizations):
            await authorizations.rename(authorization_id, description)

    with refusals():
        try:
            asyncio.run(change())
        except NoDescriptionError as fault:
            refuse(str(fault), 2)


@app.command(name="list")
def list_all(as_json: Annotated[bool, typer.Option("--json", help="One JSON object each.")] = False) -> None:
    """List authorizations, without their secrets."""

    async def read() -> dict[str, Any]:
        async with control() as (_, authorizations):
            return authorizations.all()

    with refusals():
        found = asyncio.run(read())
        if as_json:
            for authorization in found.values():
                typer.echo(orjson.dumps(authorization.model_dump(mode="json", exclude={"sealed"})).decode())
            return
        table = table_of("id", "description", "kind", "state", "problem", "key", "updated")
        for authorization in found.values():
            updated = f"{authorization.updated_at:%Y-%m-%d %H:%M}"
            cells = (authorization.id, authorization.description, authorization.kind, authorization.state)
            add_row(table, *cells, authorization.problem, authorization.key_id, updated)
        print_table(table)


@app.command(name="test")
def use(
    authorization_id: str,
    client: Annotated[str | None, typer.Option("--client", help="A client's own key names no clients.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Use an authorization: show its account's clients and lists, and which permissions it has.

    Nothing is changed. Ends with 1 when it is refused, or when a permission is missing.
    """

    async def found_out() -> Access:
        async with with_account() as (_jobs, authorizations, open_api):
            authorizations.known(authorization_id)
            return await account_access(await open_api(authorization_id), client)

    with refusals():
        try:
            clock, clients, has = asyncio.run(found_out())
        except (CampaignMonitorError, LookupError) as fault:
            refuse(f"Authorization {authorization_id} cannot be used: {fault}")
    if as_json:
        found = [dict(zip(("client", "name", "lists"), row, strict=True)) for row in clients]
        body = {"authorization": authorization_id, "account_time": clock, "clients": found, "permissions": has}
        typer.echo(orjson.dumps(body).decode())
    else:
        print_line(f"Authorization {authorization_id} is accepted; at its account it is {clock}.")
        table = table_of("client", "name", "lists")
        for client_id, name, lists in clients:
            add_row(table, client_id, name, str(lists))
        print_table(table)
        table = table_of("permission", "granted", "needed because")
        for permission in PERMISSIONS:
            shown = {True: "yes", False: "no", None: "not known: there is no list"}[has[permission.name]]
            add_row(table, permission.name, shown, permission.use)
        print_table(table)
    if False in has.values():
        raise typer.Exit(FAILED)


@app.command()
def remove(
    authorization_id: str,
    force: Annotated[bool, typer.Option("--force", help="Also when jobs use it; they will need attention.")] = False,
) -> None:
    """Remove an authorization."""

    async def drop() -> None:
        async with control() as (jobs, authorizations):
            await authorizations.remove_unused(authorization_id, None if force else jobs)

    with refusals():
        try:
            asyncio.run(drop())
        except AuthorizationInUseError as refusal:
            refuse(f"{refusal}, or use --force")
        typer.echo(f"Authorization {authorization_id} is removed.")


@app.command(name="new-key")
def new_key() -> None:
    """Print a new encryption key for CONTROL_ENCRYPTION_KEY."""
    typer.echo(make_key())


@app.command()
def reseal() -> None:
    """Seal with the current key what CONTROL_OLD_ENCRYPTION_KEYS sealed, and print what was changed."""

    async def renew(sealer: Sealer) -> list[str]:
        async with control(sealer) as (_, authorizations):
            return await authorizations.reseal()

    with refusals():
        for authorization_id in asyncio.run(renew(Sealer.from_settings(ControlSettings()))):
            typer.echo(authorization_id)


def _api_key() -> SecretStr:
    given = os.environ.get(API_KEY_VARIABLE, "").strip()
    return SecretStr(given or typer.prompt("API key", hide_input=True, err=True).strip())


def _described() -> str:
    text: str = typer.prompt("Description", err=True)
    return text.strip()


def _tokens(file: Path) -> AuthorizationSecret:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        parts = orjson.loads(text)
        expires_at = parts.get("expires_at") or time.time() + float(parts["expires_in"])
        return Tokens(SecretStr(parts["access_token"]), SecretStr(parts["refresh_token"]), float(expires_at))
    except OSError as failure:
        refuse(f"--tokens {file} cannot be read: {failure.strerror}", 2)
    except (AttributeError, KeyError, TypeError, ValueError):
        refuse(f"{file} does not hold access_token, refresh_token and expires_in as JSON")
