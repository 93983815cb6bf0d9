"""HTTP: one session, one attempt, one time limit, no retry, no redirect.

An attempt ends as an `Answer` of any status, or as one of two exceptions that differ in what a repeat may do:
`NotSent` (no connection was made) and `OutcomeUnknown` (the request left, a write may have been applied).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
import structlog
from pydantic import SecretBytes, SecretStr
from yarl import URL

from connectors.campaign_monitor.client.requests import Method
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.errors.exceptions import MalformedAnswer, NotSent, OutcomeUnknown
from connectors.campaign_monitor.errors.verdicts import Transient

log = structlog.get_logger(__name__)

# A connection that a server closed while it was idle costs one unknown outcome at the next write. Load balancers close
# after 60 s; well below that such races are rare, and much shorter would mean a TLS handshake for every lone change.
IDLE_CONNECTION_SECONDS = 20
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, of any status. `headers` ignores case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """A connection pool. Any number of accounts may share one; how many calls run at a time is the limiter's business.

    Enter it as a context, or call `close`. The session is made at the first use, inside the running loop.
    """

    def __init__(self, settings: CampaignMonitorSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        method: Method,
        url: str,
        *,
        operation: str,
        seconds: float,
        authorization: SecretStr | None = None,
        body: bytes | SecretBytes | None = None,
        content_type: str = "application/json; charset=utf-8",
    ) -> Answer:
        """Make one attempt. `url` is encoded already; `operation` names the call in logs and errors.

        `seconds` limits the whole answer, dripping bytes included; the time to connect comes on top.
        Raises NotSent, OutcomeUnknown, or MalformedAnswer for an answer that is too long.
        """
        connect = self._settings.connect_timeout_seconds
        headers = {} if body is None else {"Content-Type": content_type}
        began = time.monotonic()
        try:
            async with self._open().request(
                method,
                URL(url, encoded=True),
                data=body.get_secret_value() if isinstance(body, SecretBytes) else body,
                headers=headers
                if authorization is None
                else {**headers, "Authorization": authorization.get_secret_value()},
                timeout=aiohttp.ClientTimeout(total=connect + seconds, connect=connect),
                allow_redirects=False,
            ) as response:
                answer = Answer(response.status, response.headers, await self._whole(response, operation))
        # The causes are cut off (`from None`): aiohttp's exceptions can hold the request's headers.
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"{operation}: no connection ({type(error).__name__})", Transient("network")) from None
        except TimeoutError:
            verdict = Transient("timeout", outcome_unknown=True)
            raise OutcomeUnknown(f"{operation}: no whole answer within {seconds:g} s", verdict) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            verdict = Transient("network", outcome_unknown=True)
            raise OutcomeUnknown(f"{operation}: the connection broke ({type(error).__name__})", verdict) from None
        log.debug("campaign monitor answered", call=operation, status=answer.status, ms=_ms(began))
        return answer

    async def _whole(self, response: aiohttp.ClientResponse, operation: str) -> bytes:
        limit = self._settings.max_response_bytes
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > limit:
                response.close()
                raise MalformedAnswer(operation, f"the answer is longer than {limit} bytes (CM_MAX_RESPONSE_BYTES)")
            chunks.append(chunk)
        return b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",
                    "User-Agent": self._settings.user_agent,
                },
            )
            # aiohttp would repeat a PUT by itself when a kept connection breaks: a second write behind our back.
            self._session._retry_connection = False
        return self._session


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
