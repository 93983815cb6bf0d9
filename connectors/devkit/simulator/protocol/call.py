"""One API call as the endpoints see it, and the routes that lead to them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from connectors.devkit.simulator.data.entities import SimulatedClient, SimulatedSegment, SubscriberList
from connectors.devkit.simulator.data.request_log import NOTHING_WRITTEN, WrittenAddresses
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.protocol.credentials import Identity
from connectors.devkit.simulator.protocol.errors import SimulatedApiError, undeserialisable
from connectors.devkit.simulator.state import SimulatorState


class EndpointResult(NamedTuple):
    """A successful answer. `empty` sends no body at all; otherwise `body` is sent as JSON, a bare string too."""

    body: Any = None
    status: int = 200
    empty: bool = False


NO_BODY = EndpointResult(empty=True)


@dataclass(slots=True)
class ApiCall:
    """What arrived: path parameters decoded, query names in lower case, the body as bytes until it is asked for."""

    state: SimulatorState
    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes
    argument: str = "request"
    written: WrittenAddresses = NOTHING_WRITTEN
    _parsed: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the body with its top-level keys in lower case; nothing or blanks are {}."""
        if self._parsed is None:
            self._parsed = self._parse()
        return self._parsed

    def _parse(self) -> dict[str, Any]:
        if not self.raw.strip():
            return {}
        try:
            parsed = orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            raise undeserialisable(self.argument) from None
        if not isinstance(parsed, dict):
            raise undeserialisable(self.argument)
        return lower_keys(parsed)

    def client(self) -> SimulatedClient:
        """Return the client of the path. Raises ApiError 102 for a foreign or unknown id."""
        client = self.state.clients.get(self.path["clientid"])
        if client is None or client.deleted or not self.identity.may_see(client):
            raise SimulatedApiError(102)
        return client

    def list(self) -> SubscriberList:
        """Return the list of the path. Raises ApiError 102 for a foreign list, 404 for an unknown one."""
        return self.owned_list(self.path["listid"])

    def owned_list(self, list_id: str) -> SubscriberList:
        """Return a list by its id, as `list` does."""
        found = self.state.lists.get(list_id)
        if found is None:
            raise SimulatedApiError(404)
        self.require(found.client)
        return found

    def segment(self) -> SimulatedSegment:
        """Return the segment of the path. Raises ApiError 271 for an unknown one."""
        found = self.state.segments.get(self.path["segmentid"])
        if found is None:
            raise SimulatedApiError(271)
        self.require(found.parent.client)
        return found

    def require(self, client: SimulatedClient) -> None:
        """Raise ApiError 102 for another account's or client's data."""
        if client.deleted or not self.identity.may_see(client):
            raise SimulatedApiError(102)

    def row(self, target: SubscriberList, email: str | None) -> int:
        """Return the row of an address on a list. Raises ApiError 203."""
        row = target.subscribers.find(fold(email or ""))
        if row is None:
            raise SimulatedApiError(203)
        return row

    def wants(self, name: str) -> bool:
        """Return a boolean of the query; `True` and `true` are the same."""
        return self.query.get(name, "").lower() == "true"


EndpointHandler = Callable[[ApiCall], EndpointResult | Awaitable[EndpointResult]]


class Endpoint(NamedTuple):
    """An endpoint: `pattern` without the suffix, `scope` what an OAuth token needs for it."""

    method: str
    pattern: str
    handler: EndpointHandler
    scope: str | None = None
    argument: str = "request"

    @property
    def name(self) -> str:
        """How the request log and faults name it, e.g. `GET /lists/{listid}/active`."""
        return f"{self.method} {self.pattern}"


class EndpointRouter:
    """Finds the route of a path; literal segments win over parameters."""

    def __init__(self, routes: tuple[Endpoint, ...]) -> None:
        self._routes: dict[tuple[str, int], list[tuple[tuple[str, ...], Endpoint]]] = {}
        for route in routes:
            parts = tuple(route.pattern.strip("/").split("/"))
            self._routes.setdefault((route.method, len(parts)), []).append((parts, route))
        for found in self._routes.values():
            found.sort(key=lambda entry: [part.startswith("{") for part in entry[0]])

    def find(self, method: str, segments: list[str]) -> tuple[Endpoint, dict[str, str]] | None:
        """Return the route and its parameters for decoded path segments, suffix already off."""
        for parts, route in self._routes.get((method, len(segments)), ()):
            parameters = {}
            for part, segment in zip(parts, segments, strict=True):
                if part.startswith("{"):
                    parameters[part[1:-1]] = segment
                elif part != segment.lower():
                    break
            else:
                return route, parameters
        return None


def lower_keys(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its own keys in lower case."""
    return {key.lower(): value for key, value in mapping.items()}
