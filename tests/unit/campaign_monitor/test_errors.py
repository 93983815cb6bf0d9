"""Every known code has a verdict and a leaf of the exception tree; every body can be read."""

import inspect

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor import errors
from connectors.campaign_monitor.errors.codes import CODES
from connectors.campaign_monitor.errors.exceptions import (
    AccessDenied,
    ApiError,
    CampaignMonitorError,
    FieldRejected,
    ImportPartlyFailed,
    ImportRejected,
    ListRejected,
    PagingRejected,
    PermissionMissing,
    RateLimited,
    ReconnectNeeded,
    RequestRejected,
    ResourceMissing,
    SegmentBusy,
    SegmentRejected,
    SubscriberRefused,
    TokenExpired,
    Unavailable,
    WebhookRejected,
    error_of,
    read_error,
)
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
    classify,
    refusal,
    seconds_to_wait,
)

LEAVES: dict[type[ApiError], list[int]] = {
    PermissionMissing: [60],
    ReconnectNeeded: [100, 120, 122],
    TokenExpired: [121],
    AccessDenied: [102, 403],
    ResourceMissing: [404, 253, 271, 3000, 3002],
    RateLimited: [429],
    Unavailable: [500],
    SegmentBusy: [278, 287],
    SubscriberRefused: [1, 201, 203, 204, 205, 206, 207, 208, 211, 214, 215, 220, 221],
    ImportPartlyFailed: [210],
    PagingRejected: [5, 800, 801, 802, 803, 920, 922, 927],
    ImportRejected: [209, 212],
    ListRejected: [250, 251, 252, 261],
    FieldRejected: [254, 255, 256, 257, 259],
    SegmentRejected: [272, 273, 275, 277, 283, 284, 285, 286, *(code for code in CODES if code > 2700 and code < 3000)],
    WebhookRejected: [601, 602, 603, 610],
    RequestRejected: [400, 172, 176],
}
STATUS = {60: 401, 100: 401, 102: 401, 120: 401, 121: 401, 122: 401, 403: 403, 404: 404, 429: 429, 500: 500}


def body(code: int, message: str = "text", **more: object) -> bytes:
    return orjson.dumps({"Code": code, "Message": message, **more})


@pytest.mark.parametrize(("leaf", "code"), [(leaf, code) for leaf, codes in LEAVES.items() for code in codes])
def test_a_code_has_its_leaf(leaf: type[ApiError], code: int) -> None:
    error = error_of("GET /x", STATUS.get(code, 400), body(code))
    assert type(error) is leaf
    assert error.code == code


def test_no_known_code_is_without_a_leaf() -> None:
    assert sorted(code for codes in LEAVES.values() for code in codes) == sorted(CODES)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = [line.strip("│├└─ ").split()[0] for line in (errors.__doc__ or "").splitlines() if "─" in line]
    defined = [
        name
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, CampaignMonitorError) and cls is not CampaignMonitorError
    ]
    assert sorted(drawn) == sorted(defined)


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (200, None, Accepted()),
        (201, None, Accepted()),
        (302, None, Malformed("unexpected status 302")),
        (400, 210, PartialFailure()),
        (400, 204, RowRefused(204, "suppressed")),
        (400, 205, RowRefused(205, "deleted")),
        (400, 206, RowRefused(206, "unsubscribed")),
        (400, 207, RowRefused(207, "bounced")),
        (400, 208, RowRefused(208, "unconfirmed")),
        (400, 1, RowRefused(1, "invalid")),
        (400, 203, RowRefused(203, "not_a_subscriber")),
        (400, 201, RowRefused(201, "already_subscribed")),
        (400, 278, Transient("segment_busy")),
        (400, 101, NotFound(101, "list")),
        (400, 253, NotFound(253, "custom_field")),
        (400, 271, NotFound(271, "segment")),
        (400, 99_999, Misconfigured(99_999)),
        (400, None, Misconfigured(None)),
        (401, 121, Unauthorised(121, "refresh")),
        (401, 120, Unauthorised(120, "reconnect")),
        (401, 60, Unauthorised(60, "scope")),
        (401, 102, Forbidden(102, "foreign_id")),
        (401, None, Unauthorised(None, "reconnect")),
        (401, 77_777, Unauthorised(77_777, "reconnect")),
        (403, 403, Forbidden(403, "agency_only")),
        (403, None, Forbidden(None, "denied")),
        (404, None, NotFound(None, "resource")),
        (404, 404, NotFound(404, "resource")),
        (408, None, Transient("timeout", outcome_unknown=True)),
        (429, None, Transient("rate_limited")),
        (400, 429, Transient("rate_limited")),
        (500, 500, Transient("server_error", outcome_unknown=True)),
        (500, 203, Transient("server_error", outcome_unknown=True)),
        (502, None, Transient("gateway", outcome_unknown=True)),
        (504, None, Transient("gateway", outcome_unknown=True)),
    ],
)
def test_verdicts(status: int, code: int | None, verdict: object) -> None:
    assert classify(status, code) == verdict


def test_the_throttle_of_one_address_is_distinguished() -> None:
    text = "Subscriber was added too many times too quickly, try again later."
    assert classify(429, 429, message=text) == Transient("subscriber_throttled")


def test_an_unknown_row_code_counts_as_invalid() -> None:
    assert refusal(987).reason == "invalid"
    assert refusal(206).reason == "unsubscribed"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset": "12"}, 12),
        ({"Retry-After": "3"}, 3),
        ({"X-RateLimit-Reset": "7", "Retry-After": "3"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0),
        ({"X-RateLimit-Reset": "-5"}, 0),
        ({"X-RateLimit-Reset": "99999999"}, 0),
        ({"X-RateLimit-Reset": "nan"}, 0),
        ({}, 0),
    ],
)
def test_the_wait_that_headers_ask_for(headers: dict[str, str], seconds: float) -> None:
    assert seconds_to_wait(headers) == seconds
    assert classify(429, 429, headers=headers) == Transient("rate_limited", seconds)


@pytest.mark.parametrize(
    ("raw", "code", "message"),
    [
        (b'{"Code": 203, "Message": "gone"}', 203, "gone"),
        (b'{"code": "203", "message": "gone"}', 203, "gone"),
        (b'{"Code": 206}', 206, "Is Unsubscribed"),
        (b'{"Code": true, "Message": 5}', None, "HTTP 500 without a message"),
        (b'"just a string"', None, "just a string"),
        (b"[1]", None, "HTTP 500 with a body that is no JSON object"),
        (b"", None, "HTTP 500 with an empty body"),
        (b" ", None, "HTTP 500 with an empty body"),
        (b"<html>secret</html>", None, "HTTP 500 with a body of 19 bytes that is no JSON"),
        (b'{"Code": 203, "Mess', None, "HTTP 500 with a body of 19 bytes that is no JSON"),
    ],
)
def test_bodies(raw: bytes, code: int | None, message: str) -> None:
    content = read_error(500, raw)
    assert (content.code, content.message) == (code, message)


def test_result_data_is_kept_and_long_messages_are_cut() -> None:
    error = error_of("POST /x", 400, body(277, "m" * 2000, ResultData=[{"Subject": "s"}]))
    assert error.result_data == [{"Subject": "s"}]
    assert len(error.message) == 500


@given(status=st.integers(300, 599), raw=st.binary(max_size=200))
def test_no_answer_is_too_odd(status: int, raw: bytes) -> None:
    error = error_of("GET /x", status, raw)
    assert isinstance(error, ApiError)
    assert not isinstance(error.verdict, Accepted)


@given(status=st.integers(300, 599), code=st.sampled_from(sorted(CODES)), extra=st.dictionaries(st.text(), st.text()))
def test_server_trouble_is_always_transient(status: int, code: int, extra: dict[str, str]) -> None:
    error = error_of("GET /x", status, orjson.dumps({**extra, "Code": code}))
    assert isinstance(error.verdict, Transient) or status < 500
