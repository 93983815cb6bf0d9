"""`cm-streams auth login`: wait at the redirect address until a person comes back from Campaign Monitor's pages."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from ipaddress import ip_address

from aiohttp import web
from yarl import URL

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.authorizations import Authorizations
from connectors.control.login import ForeignAnswerError, LoginError, PendingLogin, finish_login
from schemas.control import Authorization

Finish = Callable[[Mapping[str, str]], Awaitable[Authorization]]
"""Query that a person came back with -> the stored authorization. Raises LoginError, and what storing raises."""


async def log_in(
    login: PendingLogin,
    settings: CampaignMonitorSettings,
    authorizations: Authorizations,
    *,
    show: Callable[[], None],
    seconds: float,
) -> Authorization:
    """Call `show` once the redirect address listens, and return what is stored when the person has come back.

    Raises LoginError: denied, refused, nobody came in time, the address is not of this machine or is taken; and what
    storing raises. Nothing is stored then, and nothing listens any more.
    """
    async with Transport(settings) as transport:

        async def finish(query: Mapping[str, str]) -> Authorization:
            return await finish_login(login, query, transport, settings, authorizations, time.time())

        waiting = RedirectAddress(loopback(settings.oauth_redirect_url), finish)
        try:
            await waiting.open()
            show()
            async with asyncio.timeout(seconds):
                return await waiting.outcome
        except TimeoutError:
            raise LoginError(
                f"Nobody came back from Campaign Monitor within {seconds:g} s: nothing was stored. "
                f"Begin again with `cm-streams auth login {login.authorization_id}`"
            ) from None
        finally:
            await waiting.close()


def loopback(address: str) -> URL:
    """Return the redirect address. Raises LoginError when it is not of this machine: nobody would come back here."""
    url = URL(address)
    try:
        local = url.host == "localhost" or ip_address(url.host or "").is_loopback
    except ValueError:
        local = False
    if not local or url.scheme != "http" or url.port is None:
        raise LoginError(
            f"CM_OAUTH_REDIRECT_URL is {address}, and `auth login` can only wait on this machine: set it to an address "
            "such as http://127.0.0.1:8765/authorized, and register the application with it"
        )
    return url


class RedirectAddress:
    """A page on this machine to which a browser comes back once, with the answer in its query."""

    def __init__(self, url: URL, finish: Finish) -> None:
        self._url = url
        self._finish = finish
        self._runner: web.AppRunner | None = None
        self._busy = False
        self.outcome: asyncio.Future[Authorization] = asyncio.get_running_loop().create_future()
        """What is stored in the end, or why it is not."""

    async def open(self) -> None:
        """Listen. Raises LoginError when the address is taken."""
        app = web.Application()
        app.router.add_get(self._url.path, self._answer, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)  # the query holds the code
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._url.host, self._url.port).start()
        except OSError as failure:
            raise LoginError(
                f"{self._url.host}:{self._url.port} of CM_OAUTH_REDIRECT_URL cannot be used ({failure.strerror}): "
                "end the other log-in that waits there, or register another address"
            ) from None

    async def close(self) -> None:
        """Stop listening, once the page in work was answered."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self.outcome.done() and not self.outcome.cancelled():
            self.outcome.exception()  # retrieved, also when nobody waits any more

    async def _answer(self, request: web.Request) -> web.Response:
        if self._busy:
            return _page(409, "Log-in", "This log-in was answered already. You may close this page.")
        self._busy = True
        try:
            stored = await self._finish(request.query)
        except ForeignAnswerError as refusal:
            self._busy = False
            return _page(400, "Not this log-in", str(refusal))
        except LoginError as refusal:
            self._end(refusal)
            return _page(400, "No access", f"{refusal}.")
        except Exception as failure:
            self._end(failure)
            return _page(500, "Not stored", "The access could not be stored: the terminal shows why.")
        if not self.outcome.done():
            self.outcome.set_result(stored)
        return _page(200, "Access allowed", f"Authorization {stored.id} is stored. You may close this page.")

    def _end(self, failure: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(failure)


def _page(status: int, title: str, sentence: str) -> web.Response:
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)} - cm-streams</title></head>'
        f"<body><main><h1>{escape(title)}</h1><p>{escape(sentence)}</p></main></body></html>"
    )
    headers = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'",
    }
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)
