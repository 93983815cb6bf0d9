"""Authorizations: listed, added with a key or tokens, tested, renamed, removed, sealed again."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from connectors.campaign_monitor.credentials import Tokens
from connectors.control.authorizations import AuthorizationSecret, made_up_id, users_of
from connectors.control.jobs import ExportOrImportJob
from schemas.control import Authorization
from schemas.envelope import Instant
from streams.console.api.operation import ApiAnswer, Call, Found, Operation, PartQuery, RequestBody, RequestQuery
from streams.console.api.paging import part_of
from streams.console.api.problems import ApiRefusal
from streams.control.permissions import account_access

Secret = Annotated[SecretStr, Field(min_length=1, max_length=4096)]
AuthorizationId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class AuthorizationAnswer(ApiAnswer):
    """An authorization without its secrets."""

    id: str
    description: str
    kind: Literal["api_key", "oauth"]
    key_id: str = Field(description="Which encryption key sealed its secrets.")
    state: Literal["ready", "needs_attention"]
    problem: str | None = Field(description="What a person has to do.")
    updated_at: Instant
    jobs: list[str] = Field(description="Jobs that use it.")


class AuthorizationsAnswer(ApiAnswer):
    """Authorizations by id."""

    items: list[AuthorizationAnswer]
    next: str = Field(description="Cursor of the next page; empty on the last one.")


class OAuthTokens(RequestBody):
    """Tokens as Campaign Monitor issues them."""

    access_token: Secret
    refresh_token: Secret
    expires_in: float = Field(gt=0, le=10**9, description="Seconds.")


class NewAuthorization(RequestBody):
    """An authorization that is added: either an API key or OAuth tokens."""

    id: AuthorizationId | None = Field(default=None, description="An existing one is replaced; made up without it.")
    description: str = Field(default="", max_length=200, description="A name for people.")
    api_key: Secret | None = None
    tokens: OAuthTokens | None = None


class AuthorizationEdit(RequestBody):
    """What can be changed of an authorization."""

    description: str = Field(min_length=1, max_length=200)


class RemovalQuery(RequestQuery):
    """How an authorization is removed."""

    force: bool = Field(default=False, description="Also when jobs use it; they will need attention.")


class AccessQuery(RequestQuery):
    """What of an account is read."""

    client: str = Field(default="", max_length=100, description="A client's own key names no clients: name it here.")


class ClientAnswer(ApiAnswer):
    """A client, and how many lists it has."""

    client: str
    name: str
    lists: int


class AccessAnswer(ApiAnswer):
    """What an authorization reaches."""

    authorization: str
    account_time: str
    clients: list[ClientAnswer]
    permissions: dict[str, bool | None] = Field(description="By name; null where it takes a list, and there is none.")


class ResealedAnswer(ApiAnswer):
    """Authorizations whose secrets were sealed with the current key."""

    ids: list[str]


async def list_authorizations(call: Call) -> AuthorizationsAnswer:
    """List authorizations, without their secrets."""
    query, jobs = call.asked(PartQuery), call.console.jobs.all().values()
    part = part_of(call.console.authorizations.all().values(), lambda found: found.id, query.cursor, query.limit)
    return AuthorizationsAnswer(items=[_answer(found, jobs) for found in part.items], next=part.next)


async def show_authorization(call: Call) -> AuthorizationAnswer:
    """Show an authorization, without its secrets."""
    return _answer(call.console.authorizations.known(call.part("authorization")), call.console.jobs.all().values())


async def add_authorization(call: Call) -> Found:
    """Add an authorization with an API key or tokens, or replace one: its jobs go on then."""
    new, console = call.sent(NewAuthorization), call.console
    if (new.api_key is None) == (new.tokens is None):
        raise ApiRefusal(422, "Either api_key or tokens is needed.")
    authorization_id = new.id or made_up_id(new.description)
    stored = await console.authorizations.put(
        authorization_id, _secret(new, console.clock()), description=new.description or None
    )
    console.recent.forget()
    return Found(_answer(stored, console.jobs.all().values()), location=f"/authorizations/{stored.id}")


async def rename_authorization(call: Call) -> AuthorizationAnswer:
    """Give an authorization another description."""
    edit = call.sent(AuthorizationEdit)
    stored = await call.console.authorizations.rename(call.part("authorization"), edit.description)
    return _answer(stored, call.console.jobs.all().values())


async def remove_authorization(call: Call) -> None:
    """Remove an authorization. It is refused while jobs use it, and they are named."""
    jobs = None if call.asked(RemovalQuery).force else call.console.jobs
    await call.console.authorizations.remove_unused(call.part("authorization"), jobs)


async def show_access(call: Call) -> AccessAnswer:
    """Use an authorization: its account's clients and lists, and which permissions it has. Nothing is changed."""
    authorization_id = call.part("authorization")
    found = await account_access(await call.api(authorization_id), call.asked(AccessQuery).client or None)
    return AccessAnswer(
        authorization=authorization_id,
        account_time=found.account_time,
        clients=[ClientAnswer(client=entry.client_id, name=entry.name, lists=entry.lists) for entry in found.clients],
        permissions=found.permissions,
    )


async def reseal_authorizations(call: Call) -> ResealedAnswer:
    """Seal with the current encryption key what an old one sealed."""
    return ResealedAnswer(ids=await call.console.authorizations.reseal())


def _answer(one: Authorization, jobs: Collection[ExportOrImportJob]) -> AuthorizationAnswer:
    shown = one.model_dump(exclude={"sealed"})
    return AuthorizationAnswer(**shown, jobs=users_of(one.id, jobs))


def _secret(new: NewAuthorization, now: float) -> AuthorizationSecret:
    if new.tokens is None:
        return new.api_key or SecretStr("")
    given = new.tokens
    return Tokens(given.access_token, given.refresh_token, now + given.expires_in)


OPERATIONS = (
    Operation(
        method="GET",
        path="/authorizations",
        needs="viewer",
        handle=list_authorizations,
        query=PartQuery,
        answer=AuthorizationsAnswer,
    ),
    Operation(
        method="POST",
        path="/authorizations",
        needs="admin",
        handle=add_authorization,
        body=NewAuthorization,
        answer=AuthorizationAnswer,
        status=201,
    ),
    Operation(
        method="GET",
        path="/authorizations/{authorization}",
        needs="viewer",
        handle=show_authorization,
        answer=AuthorizationAnswer,
    ),
    Operation(
        method="PATCH",
        path="/authorizations/{authorization}",
        needs="admin",
        handle=rename_authorization,
        body=AuthorizationEdit,
        answer=AuthorizationAnswer,
    ),
    Operation(
        method="DELETE",
        path="/authorizations/{authorization}",
        needs="admin",
        handle=remove_authorization,
        query=RemovalQuery,
    ),
    Operation(
        method="GET",
        path="/authorizations/{authorization}/access",
        needs="viewer",
        handle=show_access,
        query=AccessQuery,
        answer=AccessAnswer,
        problems=(409, 502),
    ),
    Operation(
        method="POST",
        path="/reseal",
        needs="admin",
        handle=reseal_authorizations,
        answer=ResealedAnswer,
    ),
)
