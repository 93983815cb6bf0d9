"""The official client, pointed at a simulated account: plain HTTP in place of HTTPS, everything else its own."""

from http.client import HTTPConnection

import createsend


def use(base_url: str) -> None:
    """Let every client of this process talk to this address."""
    createsend.createsend.VerifiedHTTPSConnection = HTTPConnection
    createsend.CreateSend.base_uri = base_url
