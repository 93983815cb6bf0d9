"""Everything that a call can raise.

    CampaignMonitorError                 has `.verdict`, and `.code` where there is one
    ├── NotSent                          no connection: a write was certainly not applied
    ├── OutcomeUnknown                   the request left, no whole answer came: a write may have been applied
    ├── MalformedAnswer                  an answer came that cannot be used: HTML, cut JSON, wrong shape, too long
    ├── OAuthRefused                     the token endpoint refused (`error`, `description`)
    ├── TokensNotStored                  new tokens are here, but could not be stored; they are not used before
    └── ApiError                         an error answer: `.status`, `.code`, `.message`, `.result_data`
        ├── RateLimited                  429; `.verdict.after` when the server named a time
        ├── Unavailable                  5xx, 408
        ├── SegmentBusy                  278, 287: being calculated
        ├── SubscriberRefused            1, 201, 203-208, 211, 214, 215, 220, 221
        ├── ImportPartlyFailed           210 (`subscribers.import_` returns it as a result instead)
        ├── CredentialError
        │   ├── TokenExpired             121, only after a refresh did not help
        │   ├── ReconnectNeeded          100, 120, 122, and 401 without a known code
        │   └── PermissionMissing        60
        ├── AccessDenied                 102 foreign id, 403 agency only
        ├── ResourceMissing              404, 101 list, 253 custom field, 271 segment, 3000, 3002 journeys
        └── RequestRejected              every other 4xx: it can never work as it is
            ├── PagingRejected           5, 80x, 92x
            ├── ImportRejected           209, 212
            ├── ListRejected             250-252, 261
            ├── FieldRejected            254-259
            ├── SegmentRejected          272-277, 283-286, rule codes 27xx
            └── WebhookRejected          601-603, 610

No text holds a credential, a webhook URL or the body of an answer; only Campaign Monitor's own message, cut.
"""

# ruff: noqa: N818  (the names are what happened; "Error" on each would only hide it)

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.campaign_monitor.errors.codes import CODES, Area
from connectors.campaign_monitor.errors.verdicts import (
    Accepted,
    Forbidden,
    Malformed,
    Misconfigured,
    NotFound,
    PartialFailure,
    RowRefused,
    Transient,
    Unauthorised,
    Verdict,
    classify,
)

# An error page of a proxy can be long, and a message goes to logs and receipts: the documented ones are under 200.
MESSAGE_LIMIT = 500


class CampaignMonitorError(Exception):
    """A call did not do what was asked. `verdict` is what that means for the request."""

    def __init__(self, text: str, verdict: Verdict) -> None:
        super().__init__(text)
        self.verdict = verdict

    def __str__(self) -> str:
        """Return the cause; of a refused credential what a person has to do, where that is known."""
        problem = self.verdict.problem if isinstance(self.verdict, Unauthorised) else ""
        return problem or super().__str__()

    @property
    def code(self) -> int | None:
        """Campaign Monitor's error code, where there is one."""
        return getattr(self.verdict, "code", None)


class NotSent(CampaignMonitorError):
    """No connection could be made, so the request was not applied."""


class OutcomeUnknown(CampaignMonitorError):
    """The request left and no whole answer came: time-out, reset, cut body. A write may have been applied."""


class MalformedAnswer(CampaignMonitorError):
    """An answer came that cannot be used."""

    def __init__(self, operation: str, cause: str) -> None:
        super().__init__(f"{operation}: {cause}", Malformed(cause))


class OAuthRefused(CampaignMonitorError):
    """The token endpoint refused: a person has to reconnect the account. `problem`: as in `Unauthorised`."""

    def __init__(self, error: str, description: str, problem: str = "") -> None:
        text = f"OAuth token request refused: {error} ({description})"
        super().__init__(text, Unauthorised(None, "reconnect", problem))
        self.error = error
        self.description = description


class TokensNotStored(CampaignMonitorError):
    """The store did not take the new tokens. They are kept in memory, and storing is tried first at the next call."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"new OAuth tokens could not be stored: {cause}", Transient("tokens"))


class ApiError(CampaignMonitorError):
    """An error answer. `message` is Campaign Monitor's, `result_data` the details that some codes carry."""

    def __init__(self, operation: str, status: int, body: "ErrorBody", verdict: Verdict) -> None:
        shown = f"code {body.code}" if body.code is not None else "no code"
        super().__init__(f"{operation}: HTTP {status}, {shown}: {body.message}", verdict)
        self.operation = operation
        self.status = status
        self.message = body.message
        self.result_data = body.result_data
        self._code = body.code

    @property
    def code(self) -> int | None:
        """Campaign Monitor's error code; None when the body had none."""
        return self._code


class RateLimited(ApiError):
    """Too many requests, of the account or for one subscriber."""


class Unavailable(ApiError):
    """Campaign Monitor or a gateway before it is in trouble."""


class SegmentBusy(ApiError):
    """The segment is being calculated."""


class SubscriberRefused(ApiError):
    """The request was about one subscriber, who is not taken."""


class ImportPartlyFailed(ApiError):
    """Some rows of an import were refused, the others are stored."""


class CredentialError(ApiError):
    """The credential does not do."""


class TokenExpired(CredentialError):
    """The access token is out of date."""


class ReconnectNeeded(CredentialError):
    """The credential is wrong, unknown or revoked."""


class PermissionMissing(CredentialError):
    """The OAuth grant lacks the scope for this call."""


class AccessDenied(ApiError):
    """The id is not of this account, or the call is not for this kind of account."""


class ResourceMissing(ApiError):
    """List, field, segment, journey or path does not exist."""


class RequestRejected(ApiError):
    """The request can never work as it is."""


class PagingRejected(RequestRejected):
    """Page, size, order or date is not accepted."""


class ImportRejected(RequestRejected):
    """The import holds no subscriber, or too many."""


class ListRejected(RequestRejected):
    """The list's settings are not accepted."""


class FieldRejected(RequestRejected):
    """The custom field's name, type or options are not accepted."""


class SegmentRejected(RequestRejected):
    """The segment's title or rules are not accepted."""


class WebhookRejected(RequestRejected):
    """The webhook's settings are not accepted, or its test failed."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error body holds; everything is optional in practice."""

    code: int | None
    message: str
    result_data: Any = None


def read_error(status: int, body: bytes) -> ErrorBody:
    """Read an error body, whatever it is: JSON object, JSON string, HTML, cut or empty."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        what = "an empty body" if not body.strip() else f"a body of {len(body)} bytes that is no JSON"
        return ErrorBody(None, f"HTTP {status} with {what}")
    if isinstance(document, str):
        return ErrorBody(None, document[:MESSAGE_LIMIT])
    if not isinstance(document, dict):
        return ErrorBody(None, f"HTTP {status} with a body that is no JSON object")
    fields = {str(key).casefold(): value for key, value in document.items()}
    code = _whole_number(fields.get("code"))
    message = fields.get("message")
    if not isinstance(message, str) or not message:
        message = CODES[code].title if code in CODES else f"HTTP {status} without a message"
    return ErrorBody(code, message[:MESSAGE_LIMIT], fields.get("resultdata"))


def _whole_number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else None


def error_of(operation: str, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ApiError:
    """Return the exception for an error answer; `operation` names the call without ids of people (`GET /lists`)."""
    content = read_error(status, body)
    verdict = classify(status, content.code, message=content.message, headers=headers)
    return leaf(verdict, content.code)(operation, status, content, verdict)


def leaf(verdict: Verdict, code: int | None) -> type[ApiError]:
    """Return the exception class for a verdict; the code's area distinguishes the kinds of rejected requests."""
    match verdict:
        case Transient(cause="rate_limited" | "subscriber_throttled"):
            return RateLimited
        case Transient(cause="segment_busy"):
            return SegmentBusy
        case Transient():
            return Unavailable
        case RowRefused():
            return SubscriberRefused
        case PartialFailure():
            return ImportPartlyFailed
        case Unauthorised(remedy="refresh"):
            return TokenExpired
        case Unauthorised(remedy="scope"):
            return PermissionMissing
        case Unauthorised():
            return ReconnectNeeded
        case Forbidden():
            return AccessDenied
        case NotFound():
            return ResourceMissing
        case Misconfigured():
            return _REJECTIONS.get(CODES[code].area, RequestRejected) if code in CODES else RequestRejected
        case Malformed() | Accepted():
            return ApiError


_REJECTIONS: dict[Area, type[ApiError]] = {
    "paging": PagingRejected,
    "import": ImportRejected,
    "list": ListRejected,
    "field": FieldRejected,
    "segment": SegmentRejected,
    "rule": SegmentRejected,
    "webhook": WebhookRejected,
}
