"""`cm-streams profile` and `erase`: look at one person's profile, and forget a person."""

import asyncio
from typing import Annotated

import orjson
import typer

from schemas.identity import digest_of, key_of, normalise_email
from streams.cli.control import kafka_settings, record, refusals, refuse
from streams.cli.output import OneJsonLine, print_json
from streams.cli.quick import raise_failures

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Show a profile.")

NO_PROFILE = 1
ADDRESS = typer.Argument(help="The person's e-mail address.")


@app.callback()
def _profile() -> None:
    """Show a profile."""


@app.command()
def show(email: Annotated[str, ADDRESS], as_json: OneJsonLine = False) -> None:
    """Print the profile as the topic cm_profile has it; exit code 1 when there is none."""
    from streams.control.people import newest_profile

    address = _address(email)
    with refusals():
        raise_failures()
        value = newest_profile(kafka_settings(), key_of(address))
    if value is None:
        refuse(f"there is no profile under {address}", NO_PROFILE)
    print_json(orjson.loads(value), one_line=as_json)


def erase(
    email: Annotated[str, ADDRESS],
    from_list: Annotated[
        list[str], typer.Option("--from-list", help="Delete the subscriber from this Campaign Monitor list, too.")
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    authorization: Annotated[
        str,
        typer.Option("--authorization", help="Id of the authorization for --from-list (`auth list`)."),
    ] = "",
    wait_seconds: Annotated[float, typer.Option("--wait", help="Seconds to wait for a worker's receipt.")] = 60.0,
) -> None:
    """Forget a person: the profile under this and every former address; prints the receipt.

    Events dated before the erasure are not taken for this person again, also when history is read again.
    """
    from streams.profile.erasure import NoReceiptError
    from streams.profile.erasure import erase as ask

    address = _address(email)
    if from_list and not authorization:
        refuse("--from-list needs --authorization: whose account the list belongs to")
    with refusals():
        kafka = kafka_settings()
        asyncio.run(record(kafka, "person", digest_of(address), "erase"))
        for list_id in from_list:
            asyncio.run(_delete_subscriber(list_id, address, authorization))
            typer.echo(f"deleted from list {list_id}", err=True)
        try:
            receipt = asyncio.run(ask(kafka, address, wait_seconds))
        except NoReceiptError as late:
            refuse(str(late))
    typer.echo(receipt.to_bytes().decode())


async def _delete_subscriber(list_id: str, email: str, authorization_id: str) -> None:
    from connectors.campaign_monitor.client.api import CampaignMonitor
    from connectors.campaign_monitor.client.transport import Transport
    from connectors.campaign_monitor.credentials import CampaignMonitorSettings
    from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
    from connectors.campaign_monitor.limits.limiter import Limiter
    from connectors.control.accounts import Credentials
    from connectors.control.crypto import ControlSettings, Sealer
    from streams.cli.control import control
    from streams.control.people import delete_subscriber

    settings = CampaignMonitorSettings()
    async with (
        control(Sealer.from_settings(ControlSettings())) as (_jobs, authorizations),
        Transport(settings) as transport,
    ):
        authorizations.known(authorization_id)
        credentials = Credentials(settings, transport)
        credentials.read_from(authorizations)
        credential = await credentials.credential(authorization_id)
        async with CampaignMonitor.open(credential, settings, Limiter.of(settings)) as api:
            try:
                await delete_subscriber(api, list_id, email)
            except CampaignMonitorError as error:
                refuse(f"Campaign Monitor did not delete the subscriber from list {list_id}: {error}")


def _address(text: str) -> str:
    address = normalise_email(text)
    if address is None:
        refuse(f"{text} is no e-mail address")
    return address
