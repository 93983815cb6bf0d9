"""Tokens for SASL OAUTHBEARER: asked for by client credentials (RFC 6749, 4.4), the same way for every client library.

librdkafka asks in a thread of its own and again before it expires; aiokafka at each connection, so what it gets
is kept until shortly before its end.
"""

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from connectors.kafka.access import SecretText

REQUEST_SECONDS = 5.0
"""For one answer. Clients wait for their first token for 10 s."""
RENEWED_AT = 0.8
"""Part of a token's life after which a connection gets a new one: what librdkafka does, too."""
LARGEST_ANSWER = 1 << 20


class TokenError(RuntimeError):
    """There is no token; the text is a sentence that names the setting."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where tokens come from, and with which credentials. Called by librdkafka with a text that we do not use."""

    url: str
    client_id: str
    secret: SecretText
    scope: str

    def __call__(self, _config: str = "") -> tuple[str, float]:
        """Return a new token and when it expires, in seconds since the epoch. Blocks. Raises TokenError."""
        import http.client  # few need tokens, and every command imports this

        where = urlsplit(self.url)
        host = f"{where.hostname}:{where.port}" if where.port else str(where.hostname)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        connection = kind(host, timeout=REQUEST_SECONDS)
        fields = {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {})}
        try:
            path = (where.path or "/") + (f"?{where.query}" if where.query else "")
            connection.request("POST", path, urlencode(fields), self._headers())
            answer = connection.getresponse()
            status, body = answer.status, answer.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as failure:
            reason = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
            raise TokenError(f"No token for Kafka came from KAFKA_SASL_OAUTH_TOKEN_URL ({host}): {reason}.") from None
        finally:
            connection.close()
        if status in (400, 401, 403):
            raise TokenError(
                f"KAFKA_SASL_OAUTH_TOKEN_URL ({host}) refused the credentials with status {status}: are "
                "KAFKA_SASL_USERNAME (the client id), KAFKA_SASL_PASSWORD (its secret) and KAFKA_SASL_OAUTH_SCOPE "
                "right?"
            )
        return _token(status, body, host)

    def _headers(self) -> dict[str, str]:
        # Encoded as forms are, before Basic: RFC 6749, 2.3.1.
        pair = f"{quote(self.client_id, safe='')}:{quote(self.secret.get_secret_value(), safe='')}"
        return {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }


def _token(status: int, body: bytes, host: str) -> tuple[str, float]:
    try:
        found: Any = json.loads(body)
        token, seconds = str(found["access_token"]), float(found.get("expires_in", 300))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TokenError(
            f"KAFKA_SASL_OAUTH_TOKEN_URL ({host}) answered with status {status} and no access token: is it the token "
            "endpoint?"
        ) from None
    return token, time.time() + seconds


class KeptTokens:
    """A token for aiokafka, the same one for every connection until it must be renewed.

    `client_config` registers it as an `AbstractTokenProvider`, so that who needs no aiokafka does not import it.
    """

    def __init__(self, source: TokenSource) -> None:
        self.source = source
        self._token = ""
        self._renew_at = 0.0

    async def token(self) -> str:
        """Return a token that is valid. Raises TokenError."""
        if time.time() >= self._renew_at:
            asked = time.time()
            self._token, expires = await asyncio.to_thread(self.source)
            self._renew_at = asked + RENEWED_AT * (expires - asked)
        return self._token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptTokens) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source.url)

    def extensions(self) -> dict[str, str]:
        """Return nothing: no broker asks for SASL extensions that we know of."""
        return {}
