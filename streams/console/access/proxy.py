"""Who a trusted reverse proxy has logged in, from the headers that it sets; anybody else's headers count for nothing.

Off by default. A header that comes twice is nobody's: one of the two may be the browser's own.
"""

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from multidict import CIMultiDictProxy

from schemas.control import ConsoleUser, Role
from streams.console.access.rules import RANKS, is_user_name

SECRET_HEADER = "X-Proxy-Secret"  # noqa: S105  (a header's name)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """Whose headers count, and what they mean. Where both an address and a secret are set, both have to be right."""

    networks: Sequence[Network]
    secret: str | None = field(repr=False)
    user_header: str
    groups_header: str
    roles: Mapping[str, Role]
    """Group -> role; of several groups the highest counts."""

    def user_of(self, peer: str | None, headers: CIMultiDictProxy[str]) -> ConsoleUser | None:
        """Return who is logged in at the proxy; None for nobody, for no role, and for headers of somebody else.

        `peer`: the address that the connection is from.
        """
        if not (self._is_from_it(peer) and self._has_secret(headers)):
            return None
        name = (_single(headers, self.user_header) or "").lower()
        groups = (_single(headers, self.groups_header) or "").split(",")
        roles = [self.roles[group.strip()] for group in groups if group.strip() in self.roles]
        if not is_user_name(name) or not roles:
            return None
        role = max(roles, key=lambda role: RANKS[role])
        return ConsoleUser(name=name, role=role, password_hash="", updated_at=EPOCH)

    def _is_from_it(self, peer: str | None) -> bool:
        if not self.networks:
            return self.secret is not None
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        return any(address in network for network in self.networks)

    def _has_secret(self, headers: CIMultiDictProxy[str]) -> bool:
        if self.secret is None:
            return bool(self.networks)
        given = _single(headers, SECRET_HEADER) or ""
        return hmac.compare_digest(given.encode(errors="replace"), self.secret.encode())


def _single(headers: CIMultiDictProxy[str], name: str) -> str | None:
    found = headers.getall(name, [])
    return found[0].strip() if len(found) == 1 else None
