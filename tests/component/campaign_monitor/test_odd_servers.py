"""The client against small servers that answer oddly: every oddity has its class, after one attempt."""

import gzip
from typing import Any

import pytest
from aiohttp import web

from connectors.campaign_monitor.client.caller import pages
from connectors.campaign_monitor.client.requests import Paging, SubscriberWrite
from connectors.campaign_monitor.errors.exceptions import (
    ApiError,
    CampaignMonitorError,
    MalformedAnswer,
    RateLimited,
    ReconnectNeeded,
    RequestRejected,
    Unavailable,
)
from connectors.campaign_monitor.errors.verdicts import Malformed, RowRefused

WRITE = SubscriberWrite("a+b@x.example")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>welcome to this hotel</html>", MalformedAnswer),
        (200, b'{"SystemDate": "2026-', MalformedAnswer),
        (200, b"", MalformedAnswer),
        (200, b"[]", MalformedAnswer),
        (204, b"", MalformedAnswer),
        (400, b"<html>", RequestRejected),
        (400, b'{"Code": 5', RequestRejected),
        (401, b'{"Code":100,"Message":"Invalid API Key"}', ReconnectNeeded),
        (429, b"", RateLimited),
        (500, b"<html>Sorry</html>", Unavailable),
        (500, b"", Unavailable),
        (502, b"\xff\xfe\x00", Unavailable),
        (504, b"Gateway Timeout", Unavailable),
    ],
)
async def test_bodies(
    serving: Any, answering: Any, status: int, body: bytes, error: type[CampaignMonitorError]
) -> None:
    async with serving(answering(status, body)) as (api, server):
        with pytest.raises(error):
            await api.systemdate()
        assert len(server.requests) == 1, "one attempt"


async def test_a_page_of_html_is_no_success_for_a_write_that_answers_nothing(serving: Any, answering: Any) -> None:
    async with serving(answering(200, b"<html>")) as (api, _):
        with pytest.raises(MalformedAnswer):
            await api.subscribers.update("l", "a@x.example", WRITE)
    async with serving(answering(204)) as (api, _):
        await api.subscribers.update("l", "a@x.example", WRITE)


async def test_a_redirect_is_not_followed(serving: Any, answering: Any) -> None:
    async with serving(answering(302, Location="/elsewhere")) as (api, server):
        with pytest.raises(ApiError) as caught:
            await api.systemdate()
        assert isinstance(caught.value.verdict, Malformed)
        assert len(server.requests) == 1


async def test_an_answer_that_is_too_long_is_refused(serving: Any, answering: Any) -> None:
    async with serving(answering(200, b'"' + b"x" * 5000 + b'"'), max_response_bytes=4096) as (api, _):
        with pytest.raises(MalformedAnswer, match="CM_MAX_RESPONSE_BYTES"):
            await api.systemdate()
    bomb = answering(200, gzip.compress(b" " * 50_000_000), Content_Encoding="gzip")
    async with serving(bomb, max_response_bytes=1_000_000) as (api, _):
        with pytest.raises(MalformedAnswer):
            await api.systemdate()


async def test_gzip_is_asked_for_and_understood(serving: Any, answering: Any) -> None:
    body = gzip.compress(b'{"SystemDate":"2026-02-03 14:05:00"}')
    async with serving(answering(200, body, Content_Encoding="gzip")) as (api, server):
        assert await api.systemdate() == "2026-02-03 14:05:00"
        assert server.requests[0].headers["Accept-Encoding"] == "gzip"
        assert server.requests[0].headers["Accept"] == "application/json"
        assert server.requests[0].path == "/api/v3.3/systemdate.json"


async def test_addresses_arrive_as_they_are(serving: Any, answering: Any) -> None:
    async with serving(answering(200)) as (api, server):
        await api.subscribers.delete("l/../x", "a+b&c=ü@x.example")
        assert server.requests[0].query["email"] == "a+b&c=ü@x.example"
        assert server.requests[0].raw_path.startswith("/api/v3.3/subscribers/l%2F..%2Fx.json?")
        await api.lists.delete_custom_field("l", "[Shoe Size]")
        assert "%5BShoe%20Size%5D.json" in server.requests[1].raw_path


async def test_a_partial_failure_is_a_result_and_an_odd_one_is_not(serving: Any, answering: Any) -> None:
    body = (
        b'{"Code":210,"Message":"m","ResultData":{"FailureDetails":[{"EmailAddress":"b@","Code":206,"Message":"x"}],'
        b'"TotalUniqueEmailsSubmitted":2,"TotalExistingSubscribers":0,"TotalNewSubscribers":1,'
        b'"DuplicateEmailsInSubmission":[]}}'
    )
    async with serving(answering(400, body)) as (api, _):
        result = await api.subscribers.import_("l", [WRITE, SubscriberWrite("b@")])
        assert [(failure.email, failure.code) for failure in result.failures] == [("b@", 206)]
    async with serving(answering(400, b'{"Code":210,"Message":"m"}')) as (api, _):
        with pytest.raises(MalformedAnswer, match="210"):
            await api.subscribers.import_("l", [WRITE])


async def test_pages_end_where_the_answers_say(serving: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        number = int(request.query["page"])
        rows = [{"EmailAddress": f"{number}@x.example"}]
        return web.json_response({"Results": rows, "PageNumber": number, "NumberOfPages": 3, "PageSize": 1})

    async with serving(handler) as (api, server):
        read = [page async for page in pages(lambda p: api.lists.subscribers("l", "active", p), Paging(page_size=1))]
        assert [page.rows[0]["EmailAddress"] for page in read] == ["1@x.example", "2@x.example", "3@x.example"]
        assert len(server.requests) == 3
        assert server.requests[0].query["includetrackingpreference"] == "true"


async def test_a_row_refusal_is_said_about_the_row(serving: Any, answering: Any) -> None:
    async with serving(answering(400, b'{"Code":206,"Message":"x"}')) as (api, _):
        with pytest.raises(ApiError) as caught:
            await api.subscribers.add("l", WRITE)
        assert caught.value.verdict == RowRefused(206, "unsubscribed")
