"""What all pages use: settings, the control topics, accounts, sessions; and a page's route with the role it needs."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp_jinja2
from aiohttp import web
from confluent_kafka import KafkaException
from multidict import MultiDictProxy
from yarl import URL

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.accounts import AuthorizedApis
from connectors.control.audit import AuditLog, AuditTrail
from connectors.control.authorizations import Authorizations
from connectors.control.jobs import Jobs
from connectors.control.users import Users
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ConsoleUser, Role
from streams.console.access.passwords import Passwords
from streams.console.access.proxy import TrustedProxy
from streams.console.access.sessions import Session, Sessions, cookie_text
from streams.console.live.collector import FlowCollector
from streams.console.reads import Reads
from streams.console.recent import Recent
from streams.control.audiences import SeenAudience, SeenUpstream, seen_upstream
from streams.control.import_runs import ImportRuns

AUDIENCES_SECONDS = 60.0
"""How old counts of audiences may be: counting reads the changelog of all people."""
AUDIENCES_TIMES = 20.0
"""Counting takes a twentieth of the time at most; where it is quick, an audience is offered as soon as it is named."""

HISTORY_SECONDS = 1.0
"""After a change its page waits so long for the line about it."""


@dataclass(slots=True)
class Console:
    """One process's console."""

    kafka: KafkaSettings
    campaign_monitor: CampaignMonitorSettings
    """People come back from Campaign Monitor to this console: its redirect address is ours."""
    jobs: Jobs
    authorizations: Authorizations
    users: Users
    apis: AuthorizedApis
    transport: Transport
    producer: AsyncProducer
    audit: AuditLog
    trail: AuditTrail
    imports: ImportRuns
    sessions: Sessions
    passwords: Passwords
    collector: FlowCollector
    clock: Callable[[], float]
    """Unix time in seconds."""
    setup_token: str = field(repr=False)
    address: URL
    """Where browsers reach it; its port is known once it listens."""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Of form tokens; another process has another one."""
    proxy: TrustedProxy | None = None
    """Who has logged people in, where the console does not; None: nobody else does."""
    recent: Recent = field(default_factory=Recent)
    reads: Reads = field(default_factory=Reads)

    def identified(self, request: web.Request) -> ConsoleUser | None:
        """Return who a trusted proxy has logged in; None for nobody."""
        return None if self.proxy is None else self.proxy.user_of(request.remote, request.headers)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it over TLS."""
        return self.address.scheme == "https"

    @property
    def cookie_name(self) -> str:
        """The cookie's name; with the prefix browsers refuse one that another host, or a page without TLS, has set."""
        return "__Host-console" if self.is_secure else "console"

    def cookie_of(self, request: web.Request) -> str:
        """Return a request's cookie; empty for none, and for what none of ours can be."""
        return cookie_text(request.cookies.get(self.cookie_name, ""))

    @property
    def is_old(self) -> bool:
        """Whether what was read of lags is from before: no broker answers, or none did at the last reading."""
        return self.collector.problem or self.reads.problem is not None

    async def audiences(self) -> Sequence[SeenAudience]:
        """Return the audiences of `upstream`. Raises as it does."""
        return (await self.upstream()).audiences

    async def upstream(self) -> SeenUpstream:
        """Return the audiences and fields that upstream has sent, as they were a moment ago.

        Raises ReadError, SnapshotError, TimeoutError.
        """

        async def read() -> SeenUpstream:
            return await self.reads.of(lambda: seen_upstream(self.kafka))

        return await self.recent.get(("upstream",), read, AUDIENCES_SECONDS, AUDIENCES_TIMES)

    async def caught_up(self) -> None:
        """Wait until the history of changes holds those that were just made; not long: they are made by now."""
        with contextlib.suppress(TimeoutError, KafkaException):
            async with asyncio.timeout(HISTORY_SECONDS):
                await self.trail.catch_up()


@dataclass(frozen=True, slots=True)
class Visit:
    """A request as a page handles it: who makes it, and the form that was sent, whose token was compared."""

    request: web.Request
    console: Console
    session: Session | None
    user: ConsoleUser | None
    cookie: str = field(repr=False)
    form: MultiDictProxy[Any] = field(repr=False)

    @property
    def me(self) -> Session:
        """The session, on pages that need a role."""
        if self.session is None:
            raise web.HTTPForbidden
        return self.session

    def page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        """Return a rendered page."""
        response: web.Response = aiohttp_jinja2.render_template(template, self.request, {"visit": self, **values})
        response.set_status(status)
        return response

    def sentence(self, status: int, heading: str, sentence: str, *, again: bool = False) -> web.Response:
        """Return a page of one sentence. `again`: where scripts run, the page is opened as soon as it can be read."""
        return self.page("sentence.html", status, heading=heading, sentence=sentence, again=again)

    def text(self, name: str) -> str:
        """Return a field of the form without the white space around it; empty when there is none."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def asked(self, name: str) -> str:
        """Return a value of the address's query without the white space around it; empty when there is none."""
        return self.request.query.get(name, "").strip()

    def texts(self, name: str) -> list[str]:
        """Return all values of a field of the form."""
        return [value.strip() for value in self.form.getall(name, []) if isinstance(value, str)]


Handle = Callable[[Visit], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """A page or a change, and the role that it needs; None: everybody may."""

    method: str
    path: str
    needs: Role | None
    handle: Handle
    changes: bool = True
    """Whether a POST changes something, which is logged."""


def utc_text(at: datetime | str) -> str:
    """Return a time of UTC for people, in seconds; a text is one of ISO 8601 that ends with Z."""
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def go_to(path: str) -> web.Response:
    """Return the answer to a change: the browser shows another page, and a reload changes nothing again."""
    return web.Response(status=303, headers={"Location": path})


def set_cookie(response: web.StreamResponse, console: Console, cookie: str) -> None:
    """Set the cookie: for this site only, not for scripts, and over TLS where there is TLS.

    `Lax`, because people come back from Campaign Monitor by a link, and have to be known then.
    """
    response.set_cookie(console.cookie_name, cookie, httponly=True, samesite="Lax", secure=console.is_secure, path="/")
