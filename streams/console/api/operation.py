"""What an operation is: method, path, the role that it needs, what it takes and answers, and who handles it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from connectors.campaign_monitor.client.api import CampaignMonitor
from schemas.control import Role
from streams.console.api.problems import ApiRefusal
from streams.console.context import Console

PREFIX = "/api/v1"

PATH_PARTS: Mapping[str, str] = {
    "authorization": "Id of an authorization.",
    "client": "Id of a client at Campaign Monitor.",
    "list": "Id of a list at Campaign Monitor.",
    "job": "Id of a job.",
    "token": "Id of a token: the part between the underscores.",
    "user": "Name of a user.",
    "topic": "An input topic, by its name or its role.",
    "place": "`partition:offset` of a dead letter.",
    "email": "E-mail address of a person.",
    "field": "A field of profiles.",
}


class RequestBody(BaseModel):
    """The base of what requests hold: unknown fields are refused, because they are typing errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RequestQuery(BaseModel):
    """The base of query parameters, which are text and read as what they should be."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PartQuery(RequestQuery):
    """Which part of many things."""

    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")
    cursor: str = Field(
        default="",
        max_length=200,
        pattern="^[A-Za-z0-9_-]*$",
        description="`next` of the page before; empty: from the start.",
    )


class ApiAnswer(BaseModel):
    """The base of answers."""

    model_config = ConfigDict(frozen=True)


class ApiCaller(NamedTuple):
    """Who makes a request: a user by session, or a program by token."""

    name: str
    role: Role
    cookie: str | None = None
    """Of a session."""


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as an operation handles it: role, body and parameters were checked."""

    request: web.Request
    console: Console
    caller: ApiCaller
    body: BaseModel | None
    query: BaseModel | None

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]

    async def api(self, authorization_id: str) -> CampaignMonitor:
        """Return the account of an authorization. Raises UnknownAuthorizationError, ApiRefusal."""
        self.console.authorizations.known(authorization_id)
        try:
            return await self.console.apis.api(authorization_id)
        except LookupError as fault:
            raise ApiRefusal(409, f"{fault}") from None

    def matches(self, version: str) -> None:
        """Return when If-Match has a version, or is not there. Raises ApiRefusal."""
        given = self.request.headers.get("If-Match")
        if given is not None and not {"*", f'"{version}"'} & {tag.strip() for tag in given.split(",")}:
            raise ApiRefusal(412, "It was changed since it was read: read it again, and look at it.")

    def sent(self, model: type[M]) -> M:
        """Return the body, which the operation takes as this model."""
        if not isinstance(self.body, model):
            raise TypeError(f"the operation takes no {model.__name__}")
        return self.body

    def asked(self, model: type[M]) -> M:
        """Return the query parameters, which the operation takes as this model."""
        if not isinstance(self.query, model):
            raise TypeError(f"the operation takes no {model.__name__}")
        return self.query


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with what its headers show."""

    body: BaseModel | None
    etag: str | None = None
    location: str | None = None


Handled = BaseModel | Found | None
OperationHandler = Callable[[Call], Awaitable[Handled]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. Its name is unique, its handler's docstring describes it."""

    method: str
    path: str
    needs: Role
    handle: OperationHandler
    answer: type[BaseModel] | None = None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    if_match: bool = False
    """Whether it takes the version of what is changed; see `versions`."""
    has_etag: bool = False
    problems: tuple[int, ...] = ()
    """Statuses of refusals beyond those that follow from the rest."""

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.handle.__name__

    @property
    def needs_match(self) -> bool:
        """Whether it is refused without the version: it writes options that somebody else may have changed."""
        return self.if_match and self.method in ("PATCH", "PUT")

    @property
    def parts(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def doc(self) -> str:
        """What it does: the handler's docstring."""
        return "\n".join(line.strip() for line in (self.handle.__doc__ or "").strip().splitlines())


def query_values(model: type[BaseModel], request: web.Request) -> dict[str, Any]:
    """Return a request's query parameters by name; those that the model has as lists may be repeated."""
    values: dict[str, Any] = {}
    for name in set(request.query):
        field = model.model_fields.get(name)
        many = field is not None and str(field.annotation).startswith("list[")
        values[name] = request.query.getall(name) if many else request.query.getall(name)[-1]
    return values
