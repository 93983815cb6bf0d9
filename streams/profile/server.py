"""`GET /profiles/{email}`: answered by whichever worker owns the profile; any worker can be asked.

A worker that does not own the address asks the one that does, once: a request that was passed on is never passed on
again, so two workers that disagree during a rebalance do not pass it back and forth.
"""

import hmac
from collections.abc import Callable

import orjson
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from pydantic import SecretStr

from connectors.bounded_server import BoundedServer
from connectors.process import listen
from schemas.cm_profile import MAPPING_HEADER
from schemas.identity import key_of, normalise_email
from streams.batches import BatchTable, partition_of
from streams.profile.folding.row import Profile

log = structlog.get_logger(__name__)

PASSED_ON = "X-Profiles-Passed-On"
_OWNER_TIMEOUT = ClientTimeout(total=5)

OwnerOf = Callable[[int], str | None]
"""Partition -> URL of the worker that owns it."""


class ProfileServer:
    """The profiles of a group of workers over HTTP."""

    def __init__(
        self,
        table: BatchTable[Profile],
        owner_of: OwnerOf,
        *,
        token: SecretStr | None,
        host: str,
        port: int,
        public_url: str,
        partitions: int,
        version: str,
    ) -> None:
        """`version` of the mappings goes into the answers' header `profile.mapping`."""
        self._table = table
        self._owner_of = owner_of
        self._token = token
        self._host = host
        self._port = port
        self._public_url = public_url
        self._partitions = partitions
        self._version = version
        self._runner: web.ServerRunner | None = None
        self._session: ClientSession | None = None

    async def start(self) -> str:
        """Listen; return the URL under which other workers reach this one. Raises CannotListenError."""
        self._session = ClientSession(timeout=_OWNER_TIMEOUT)
        self._runner = web.ServerRunner(BoundedServer(self._answer, access_log=None))
        await self._runner.setup()
        await listen(self._runner, self._host, self._port, "PROFILE_HTTP_HOST or PROFILE_HTTP_PORT")
        host, port = self._runner.addresses[0][:2]
        return self._public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        match request.rel_url.parts:
            case ("/", "profiles", address) if address:
                if request.method not in ("GET", "HEAD"):
                    return _problem(405, "profiles can only be read: GET")
                return await self._profile(request, address)
            case _:
                return _problem(404, "there is only /profiles/EMAIL")

    async def _profile(self, request: web.BaseRequest, address: str) -> web.Response:
        if not self._allowed(request):
            return _problem(401, "this needs the API token: Authorization: Bearer TOKEN")
        email = normalise_email(address)
        if email is None:
            return _problem(400, "that is no e-mail address")
        key = key_of(email)
        partition = partition_of(key, self._partitions)
        if partition in self._table.owned():
            return await self._own(key)
        return await self._from_owner(request, partition)

    def _allowed(self, request: web.BaseRequest) -> bool:
        """Compared in constant time; without a token in the settings nobody is allowed."""
        presented = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        expected = self._token.get_secret_value().encode() if self._token else b""
        return hmac.compare_digest(presented, expected) and bool(expected)

    async def _own(self, key: bytes) -> web.Response:
        row = await self._table.get(key)
        if row is None or not row.data.fields:
            return _problem(404, "there is no profile under this address")
        value, _ = self._table.codec.encode(row.data)
        headers = {MAPPING_HEADER: self._version}
        return web.Response(body=value, content_type="application/json", headers=headers)

    async def _from_owner(self, request: web.BaseRequest, partition: int) -> web.Response:
        owner = self._owner_of(partition)
        if owner is None or self._session is None or PASSED_ON in request.headers:
            return _problem(503, "the worker that owns this profile is not known now; try again", retry_after=1)
        headers = {"Authorization": request.headers.get("Authorization", ""), PASSED_ON: "1"}
        url = owner.rstrip("/") + request.rel_url.raw_path
        try:
            async with self._session.get(url, headers=headers) as answer:
                body = await answer.read()
                kept = {
                    name: answer.headers[name] for name in (MAPPING_HEADER, "Retry-After") if name in answer.headers
                }
                return web.Response(body=body, status=answer.status, content_type="application/json", headers=kept)
        except (ClientError, TimeoutError) as error:
            log.warning("owner does not answer", owner=owner, error=type(error).__name__)
            return _problem(503, "the worker that owns this profile does not answer now; try again", retry_after=1)


def _problem(status: int, sentence: str, retry_after: int = 0) -> web.Response:
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return web.Response(
        status=status, body=orjson.dumps({"error": sentence}), content_type="application/json", headers=headers
    )
