"""Bodies in JSON and XML, within bounds."""

import contextlib
import gzip
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.protocol.responses import as_xml
from connectors.webhook.body import BodyTooLargeError, BrokenBodyError, UnreadableBodyError, events_of, read_body

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
        b'{"Events": [1]}',
        b'{"Events": [], "ListID": "another"}',
        b"[" * 100_000,
        b'{"Events": [{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        b"\xff\xfe",
        b"<x>",
        b"<x/>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><x><Events/></x>",
        b"NaN",
    ],
)
def test_what_is_no_envelope_is_refused_with_a_reason(body):
    with pytest.raises(UnreadableBodyError):
        events_of(body, "l1")


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise(body):
    with contextlib.suppress(UnreadableBodyError):
        events_of(body, "l1")


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
