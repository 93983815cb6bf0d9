"""Bodies in JSON and XML, within bounds."""

import contextlib
import gzip
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.protocol.responses import as_xml
from connectors.webhook.body import BodyTooLargeError, BrokenBodyError, read_body
from connectors.webhook.envelope import UnparsedEvent, UnreadableBodyError, as_utf8, events_of, raw_events

EVENT = {
    "Type": "Update",
    "Date": "2026-05-02 10:12:00",
    "OldEmailAddress": "a@example.com",
    "EmailAddress": "b@example.com",
    "Name": "Ann & Bob <x>",
    "State": "Active",
    "CustomFields": [{"Key": "city", "Value": "Ghent"}, {"Key": "i", "Value": "ü"}, {"Key": "i", "Value": "chess"}],
}
ENVELOPE = {"Events": [EVENT, {**EVENT, "CustomFields": []}], "ListID": "l1"}


def test_json_and_xml_are_read_alike():
    assert events_of(orjson.dumps(ENVELOPE), "l1") == ENVELOPE["Events"]
    assert events_of(as_xml(ENVELOPE).encode(), "l1") == ENVELOPE["Events"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"{}",
        b'{"Events": 1}',
        b'{"Events": [], "ListID": "another"}',
        b"[" * 100_000,
        b'{"Events": [{"a": [}]}',
        b'["Events", [{}]]',
        b'{"a": {"Events": [{}]}, "b": nothing}',
        b"\xff\xfe",
        b"<x>",
        b"<x/>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><x><Events/></x>",
        b"NaN",
    ],
)
def test_what_is_no_envelope_is_refused_with_a_reason(body):
    with pytest.raises(UnreadableBodyError):
        events_of(as_utf8(body), "l1")


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(body):
    with contextlib.suppress(UnreadableBodyError):
        events_of(as_utf8(body), "l1")


GOOD = b'{"Type": "Subscribe", "EmailAddress": "a@example.com"}'
ODD = [
    b"1",
    b"null",
    b'"],}"',
    b'{"Name": "\xff"}',
    b'{"Name": "\\ud800"}',
    b'{"Name": NaN}',
    b'{"Name": [}}',
    b"{'Name'}",
    b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
]


@pytest.mark.parametrize("odd", ODD)
def test_an_event_that_cannot_be_read_costs_itself_only(odd):
    body = b'{"ListID": "l1", "Events": [' + GOOD + b" , " + odd + b",\n" + GOOD + b"]}"
    first, between, last = events_of(body, "l1")
    assert first == last == orjson.loads(GOOD)
    assert isinstance(between, UnparsedEvent)
    assert raw_events(body) == [GOOD, odd, GOOD]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('a"\\[]{},:é'), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a"]}:,'), max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4), st.dictionaries(st.text(max_size=3), json_values, max_size=3), st.booleans())
def test_events_are_cut_apart_where_json_has_them(events, others, indented):
    body = orjson.dumps({**others, "Events": events, "z": others}, option=orjson.OPT_INDENT_2 if indented else 0)
    assert [orjson.loads(raw) for raw in raw_events(body)] == events
    # What follows makes the whole unreadable as JSON: its events are still the same.
    apart = events_of(body[:-1] + b',"ListID":"l1",}', "l1")
    assert apart == [event if isinstance(event, dict) else UnparsedEvent("it is no object") for event in events]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", [orjson.dumps(ENVELOPE).decode(), as_xml(ENVELOPE)])
def test_a_byte_order_mark_is_no_part_of_the_content(encoding, text):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    text = text.replace(' encoding="utf-8"', "")
    assert events_of(as_utf8((mark + text).encode(encoding)), "l1") == ENVELOPE["Events"]


def test_a_list_id_may_be_in_capitals():
    assert events_of(orjson.dumps({**ENVELOPE, "ListID": "0A1B"}), "0a1b") == ENVELOPE["Events"]
    assert events_of(orjson.dumps({**ENVELOPE, "ListID": "0a1b"}), "0A1B") == ENVELOPE["Events"]


def test_entities_are_not_read_in_any_encoding():
    bomb = "<!DOCTYPE x [<!ENTITY a 'b'>]><x><Events/></x>"
    for encoding in ("utf-8", "utf-16", "utf-16-le"):
        with pytest.raises(UnreadableBodyError):
            events_of(as_utf8(bomb.encode(encoding)), "l1")


async def chunks(body: bytes, size: int = 7):
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "deflate"])
async def test_a_body_is_unpacked(encoding):
    body = orjson.dumps(ENVELOPE)
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(body)
    assert await read_body(chunks(packed), encoding, len(body)) == body
    with pytest.raises(BodyTooLargeError):
        await read_body(chunks(packed), encoding, len(body) - 1)


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_every_member_of_a_body_is_unpacked(size):
    members = gzip.compress(b"a" * 50) + gzip.compress(b"") + gzip.compress(b"b" * 50) + bytes(9)
    assert await read_body(chunks(members, size), "gzip", 100) == b"a" * 50 + b"b" * 50
    with pytest.raises(BodyTooLargeError):
        await read_body(chunks(members, size), "gzip", 99)
    for broken in (members + b"x", members[:-15], members[:-9] + gzip.compress(b"c")[:5]):
        with pytest.raises(BrokenBodyError):
            await read_body(chunks(broken, size), "gzip", 1000)


async def test_a_body_of_empty_members_ends_at_the_bound():
    with pytest.raises(BodyTooLargeError):
        await read_body(chunks(gzip.compress(b"") * 1000, 1000), "gzip", 10_000)


async def test_a_bomb_is_stopped_at_the_bound():
    bomb = gzip.compress(b"\0" * 50_000_000)
    taken = 0

    async def counted():
        nonlocal taken
        async for chunk in chunks(bomb, 1000):
            taken += 1
            yield chunk

    with pytest.raises(BodyTooLargeError):
        await read_body(counted(), "gzip", 1_000_000)
    assert taken <= 3


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9], b""])
async def test_what_cannot_be_unpacked_is_broken(body):
    with pytest.raises(BrokenBodyError):
        await read_body(chunks(body), "gzip", 10_000)


def test_xml_that_is_nested_deeply_is_refused_with_a_reason():
    event = b"<E>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</E>"
    with pytest.raises(UnreadableBodyError, match="nested too deep"):
        events_of(b"<Post><Events>" + event + b"</Events></Post>", "l1")
