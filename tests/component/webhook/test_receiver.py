"""The receiver over HTTP: what is answered, and what was published before it was."""

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import orjson
import pytest
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from connectors.campaign_monitor.dates import ClientDates
from connectors.kafka.publishing import PublishError
from connectors.webhook import server
from connectors.webhook.body import path_of
from connectors.webhook.server import QUARANTINED, Receiver
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import HookedList
from schemas import dead_letter
from schemas.topics import TopicNames
from tests.deadline import eventually

SECRET = SecretStr("a-secret-of-the-deployment")
PATH = path_of(SECRET, "l1")
DATES = ClientDates.of("(GMT) Coordinated Universal Time")


class FakeProducer:
    """Accepts records, or does not."""

    def __init__(self) -> None:
        self.records = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure = None
        self.calls = 0

    async def publish_many(self, records):
        self.calls += 1
        await self.open.wait()
        if self.failure:
            raise self.failure
        self.records += records
        return len(records)


@pytest.fixture
def broker() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
async def receiver(broker) -> AsyncIterator[Receiver]:
    settings = WebhookSettings(secret=SECRET, port=0, publish_timeout_seconds=0.5, max_body_bytes=2_000_000)
    made = Receiver(
        settings,
        broker,
        TopicNames(),
        hooked_list=lambda list_id: HookedList("l1", "News", "c1", "", "j", DATES) if list_id == "l1" else None,
    )
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def post(receiver):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{receiver.port}") as session:

        async def call(body: bytes, path: str = PATH, method: str = "POST", **headers: str) -> int:
            given = {
                "Content-Type": "application/json",
                **{name.replace("_", "-"): text for name, text in headers.items()},
            }
            async with session.request(method, path, data=body, headers=given) as answer:
                assert await answer.read() == b"", "a sender learns the status and nothing else"
                return answer.status

        yield call


def envelope(count: int = 2, list_id: str = "l1") -> bytes:
    events = [
        {"Type": "Subscribe", "Date": "2026-05-02 10:11:12", "EmailAddress": f"p{number}@example.com"}
        for number in range(count)
    ]
    return orjson.dumps({"Events": events, "ListID": list_id})


async def test_all_events_of_a_post_are_published_before_the_answer(post, broker):
    assert await post(envelope(1000)) == 200
    assert len(broker.records) == 1000
    assert {record.topic for record in broker.records} == {"cm_activity"}
    assert broker.records[999].key == b"p999@example.com"
    assert await post(gzip.compress(envelope(3)), Content_Encoding="gzip") == 200
    assert await post(envelope(0)) == 200
    assert len(broker.records) == 1003


async def test_a_broker_that_does_not_take_them_is_503(post, broker):
    broker.failure = PublishError("cm_activity", "_MSG_TIMED_OUT", "late")
    assert await post(envelope()) == 503
    broker.failure = None
    broker.open.clear()
    assert await post(envelope()) == 503, "nor is one that does not answer in time"
    broker.open.set()
    assert broker.records == []
    assert await post(envelope()) == 200


async def test_what_is_not_genuine_is_refused_and_leaves_nothing(post, broker):
    assert await post(envelope(), "/hooks/l1/wrong") == 404
    assert await post(envelope(), path_of(SECRET, "l2")) == 404, "a list that nobody imports"
    assert await post(b"", method="GET") == 405
    assert await post(envelope(), Content_Type="image/png") == 415
    assert await post(b"x" * 2_000_001) == 413
    assert await post(gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip") == 413
    assert await post(b"no gzip", Content_Encoding="gzip") == 400
    assert broker.records == []


async def test_a_path_with_raw_bytes_is_refused(receiver):
    for path, status in ((b"/hooks/l1/\xff", b"400"), (b"/hooks/%FF/token", b"404"), (b"/hooks/l1/%ED%A0%80", b"404")):
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        assert (await reader.readline()).split()[1] == status
        writer.close()


async def test_a_genuine_post_that_cannot_be_read_is_kept_as_it_came(post, broker):
    assert await post(b"{not json") == 200
    (letter,) = broker.records
    assert letter.topic == "cm_activity.dlq"
    assert letter.value == b"{not json"
    assert dict(letter.headers)["dlq.stage"] == b"decode"
    broker.failure = PublishError("cm_activity.dlq", "_MSG_TIMED_OUT", "late")
    assert await post(b"{not json") == 503


async def test_an_event_over_the_record_limit_is_a_dead_letter_and_its_neighbours_are_published_once(post, broker):
    events = orjson.loads(envelope(3))["Events"]
    events[1]["Name"] = "x" * 1_100_000
    events[2]["CustomFields"] = [{"Key": "k", "Value": "y" * 500_000}]
    assert await post(orjson.dumps({"Events": events, "ListID": "L1"})) == 200
    letters = [record for record in broker.records if record.topic == "cm_activity.dlq"]
    published = [record.key for record in broker.records if record.topic == "cm_activity"]
    assert published == [b"p0@example.com", b"p2@example.com"]
    (letter,) = letters
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"p1@example.com", None)
    assert headers["dlq.stage"] == b"delivery"
    assert b"event 1 would be a record of" in headers["dlq.reason"]
    assert int(headers["dlq.left_out_bytes"]) > 1_100_000


@pytest.mark.parametrize(
    "odd", [b"7", b'{"Name": "\xff"}', b'{"CustomFields": [{"Key": ' + b"[" * 900 + b"]" * 900 + b"}]}"]
)
async def test_an_event_that_cannot_be_read_never_takes_its_neighbours_along(post, broker, odd):
    good = orjson.dumps(orjson.loads(envelope(1))["Events"][0])
    assert await post(b'{"Events": [' + good + b"," + odd + b"," + good + b"]}") == 200
    assert [record.topic for record in broker.records] == ["cm_activity", "cm_activity", "cm_activity.dlq"]
    assert broker.records[2].value == odd


async def test_an_unreadable_post_too_long_to_keep_is_answered_and_named(post, broker):
    assert await post(b"{" + b"x" * 1_100_000) == 200
    (letter,) = broker.records
    assert (letter.key, letter.value) == (b"l1", None)
    assert dict(letter.headers)["dlq.left_out_bytes"] == b"1100001"


async def test_samples_count_for_nobody(post, broker):
    assert await post(envelope(), path_of(SECRET, "l1", sample=True)) == 200
    assert broker.records == []


async def test_many_posts_at_once_are_all_answered(post, broker):
    answers = await asyncio.gather(*(post(envelope(100)) for _ in range(50)))
    assert set(answers) == {200}
    assert len(broker.records) == 5000


async def test_an_odd_event_does_not_keep_the_others_out(post, broker):
    good = orjson.loads(envelope(1))["Events"][0]
    events = [good | {"Type": 7, "CustomFields": ["x"]}, good | {"CustomFields": "no"}, good]
    assert await post(orjson.dumps({"Events": events})) == 200
    assert [record.topic for record in broker.records] == ["cm_activity"] * 3


async def test_an_event_without_address_or_date_or_with_an_odd_state_is_a_dead_letter(post, broker):
    good = orjson.loads(envelope(1))["Events"][0]
    odd = [
        good | {"EmailAddress": ""},
        good | {"Date": "yesterday"},
        good | {"Type": "Deactivate", "State": "weird"},
        {},
    ]
    before = quarantined()
    assert await post(orjson.dumps({"Events": [good, *odd, good]})) == 200
    assert [record.key for record in broker.records if record.topic == "cm_activity"] == [b"p0@example.com"] * 2
    letters = [record for record in broker.records if record.topic == "cm_activity.dlq"]
    assert [orjson.loads(letter.value) for letter in letters] == odd
    assert {letter.key for letter in letters} == {b"l1"}
    reasons = [dict(letter.headers)["dlq.reason"] for letter in letters]
    assert reasons == [
        b"event 1: EmailAddress is no address",
        b"event 2: Date is no date",
        b"event 3: State is none that a Deactivate leads to",
        b"event 4: EmailAddress is no address",
    ]
    stages = Counter(dict(letter.headers)["dlq.stage"].decode() for letter in letters)
    assert quarantined() == before | {stage: before[stage] + count for stage, count in stages.items()}


def quarantined() -> dict[str, float]:
    """Dead letters by reason; all of them are counted from zero on."""
    return {stage.value: QUARANTINED.labels(stage)._value.get() for stage in dead_letter.Stage}


@pytest.fixture
async def narrow(broker, monkeypatch) -> AsyncIterator[Receiver]:
    """A receiver with one place and room for three posts that wait for it."""
    monkeypatch.setattr(server, "MAX_WAITING", 3)
    settings = WebhookSettings(secret=SECRET, port=0, publish_timeout_seconds=30, max_posts_in_flight=1)
    hooked = HookedList("l1", "News", "c1", "", "j", DATES)
    receiver = Receiver(settings, broker, TopicNames(), hooked_list=lambda _list_id: hooked)
    await receiver.start()
    yield receiver
    broker.open.set()
    await receiver.stop()


async def test_posts_whose_sender_disconnected_while_they_waited_are_not_counted_as_waiting(narrow, broker):
    """Else the receiver would answer 503 for ever once as many senders had timed out."""
    headers = {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{narrow.port}{PATH}"
    broker.open.clear()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def post() -> int:
            async with session.post(url, data=envelope(), headers=headers) as answer:
                return answer.status

        async def post_until_disconnected() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await post()

        first = asyncio.create_task(post())
        await eventually(lambda: broker.calls == 1)
        for _round in range(2):
            await asyncio.gather(*(post_until_disconnected() for _sender in range(3)))
        last = asyncio.create_task(post())
        await asyncio.sleep(0.2)
        assert not last.done(), "it waits for the place, and is not refused as one too many"
        broker.open.set()
        assert await asyncio.wait_for(asyncio.gather(first, last), 10) == [200, 200]


async def test_a_cancelled_post_is_not_counted_as_waiting(narrow, broker):
    broker.open.clear()
    request = make_mocked_request("POST", PATH, headers={"Content-Type": "application/json"}, payload=EMPTY_PAYLOAD)
    posts = [asyncio.create_task(narrow.answer(request)) for _post in range(4)]
    await eventually(lambda: narrow.waiting == 3)
    for post in posts:
        post.cancel()
    await asyncio.gather(*posts, return_exceptions=True)
    assert narrow.waiting == 0


async def test_a_post_too_many_is_answered_503(narrow, broker):
    headers = {"Content-Type": "application/json"}
    url = f"http://127.0.0.1:{narrow.port}{PATH}"
    broker.open.clear()
    async with aiohttp.ClientSession() as session:

        async def post() -> int:
            async with session.post(url, data=envelope(), headers=headers) as answer:
                return answer.status

        posts = [asyncio.create_task(post()) for _post in range(4)]
        await eventually(lambda: narrow.waiting == 3)
        assert await post() == 503
        broker.open.set()
        assert await asyncio.gather(*posts) == [200] * 4
    assert narrow.waiting == 0
