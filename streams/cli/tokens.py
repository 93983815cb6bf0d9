"""`cm-streams token`: tokens by which programs use the console's API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import orjson
import typer

from connectors.control.users import UnknownTokenError, Users
from connectors.kafka.command_producer import CommandProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ConsoleToken, Role
from streams.cli.control import audit_log, kafka_settings, refusals, refuse
from streams.cli.output import JsonLines, add_row, print_table, table_of
from streams.control.job_writing import now_in_millis
from streams.control.tokens import make_token

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Tokens for the console's API: create, list, revoke."
)

MADE_BY = "cm-streams"


@app.command()
def create(
    description: Annotated[str, typer.Argument(help="What uses it.", show_default=False)],
    role: Annotated[Role, typer.Option(help="What it may do.")] = "viewer",
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="It ends after so many; without it, never.")] = None,
) -> None:
    """Make a token and print it. It is not shown again."""
    if not 0 < len(description) <= 200:
        refuse("A token has a description of 1 to 200 characters", 2)

    async def make() -> str:
        async with _users(kafka_settings()) as users:
            return (await make_token(users, description, role, MADE_BY, now_in_millis(), days)).text

    with refusals():
        typer.echo(asyncio.run(make()))


@app.command(name="list")
def list_tokens(as_json: JsonLines = False) -> None:
    """List tokens, without their secrets."""

    async def read() -> list[ConsoleToken]:
        async with Users(kafka_settings()) as users:
            return list(users.tokens().values())

    with refusals():
        found = asyncio.run(read())
    if as_json:
        for token in found:
            typer.echo(orjson.dumps(token.model_dump(mode="json", exclude={"kind", "secret_hash"})).decode())
        return
    table = table_of("id", "description", "role", "made by", "made", "ends")
    for token in found:
        made, ends = (
            f"{token.made_at:%Y-%m-%d %H:%M}",
            "" if token.ends_at is None else f"{token.ends_at:%Y-%m-%d %H:%M}",
        )
        add_row(table, token.id, token.description, token.role, token.made_by, made, ends)
    print_table(table)


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID", help="`token list` shows all.")]) -> None:
    """Revoke a token: consoles refuse it from now on."""

    async def drop() -> None:
        async with _users(kafka_settings()) as users:
            await users.revoke(token_id)

    with refusals():
        try:
            asyncio.run(drop())
        except UnknownTokenError as fault:
            refuse(str(fault))
        typer.echo(f"Token {token_id} is revoked.")


@asynccontextmanager
async def _users(settings: KafkaSettings) -> AsyncIterator[Users]:
    """Hold users and tokens; what changes is recorded."""
    async with (
        CommandProducer(settings, "cli") as producer,
        Users(settings, producer, audit_log(settings, producer)) as users,
    ):
        yield users
