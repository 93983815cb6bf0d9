"""Requests that no browser and no program makes: each gets an answer that says so, and none is a 500."""

import asyncio
import gzip
from typing import NamedTuple

from tests.integration.console.api import token
from tests.integration.console.conftest import ConsoleWorld

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
JSON = b"Content-Type: application/json\r\n"
PROBLEM = b"Content-Type: application/problem+json"


class Answer(NamedTuple):
    """The first line's number, and everything that came."""

    status: int
    text: bytes


async def answered(world: ConsoleWorld, line: bytes, headers: bytes = b"", body: bytes = b"") -> Answer:
    """Send bytes as they are; without a Host among them that of the console is sent."""
    port = int(world.address.rstrip("/").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    named = b"" if b"Host:" in headers else b"Host: 127.0.0.1:%d\r\n" % port
    length = b"" if line.startswith(b"GET") else b"Content-Length: %d\r\n" % len(body)
    writer.write(line + b" HTTP/1.1\r\n" + named + b"Connection: close\r\n" + headers + length + b"\r\n" + body)
    text = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return Answer(int(text.split(b" ", 2)[1]), text)


async def test_headers_that_are_no_text_let_nobody_in_and_break_nothing(world: ConsoleWorld) -> None:
    browser = await world.admin()
    (cookie,) = browser.session.cookie_jar
    session = f"Cookie: {cookie.key}={cookie.value}\r\n".encode()
    for bad in (b"\xff\xfe", b"\xc3(", "ü".encode(), b"a" * 3_000):
        found = await answered(world, b"GET /login", b"Cookie: console=" + bad + b"\r\n")
        assert found.status == 200, "as without a cookie"
        assert (await answered(world, b"GET /jobs", b"Cookie: console=" + bad + b"\r\n")).status == 303
        found = await answered(world, b"GET /api/v1/me", b"Cookie: console=" + bad + b"\r\n")
        assert (found.status, PROBLEM in found.text) == (401, True)
        found = await answered(world, b"GET /api/v1/me", b"Authorization: Bearer cms_" + bad + b"_" + bad + b"\r\n")
        assert (found.status, PROBLEM in found.text) == (401, True)
        found = await answered(world, b"POST /api/v1/tokens", session + JSON + b"X-Form-Token: " + bad + b"\r\n", b"{}")
        assert (found.status, PROBLEM in found.text) == (403, True)
    for host in (b"xn--a-.com", b"[", b"127.0.0.1:99999", b"a..b", b"\xff", b""):
        for path in (b"/login", b"/api/v1/me"):
            assert (await answered(world, b"GET " + path, b"Host: " + host + b"\r\n")).status == 421, host


async def test_forms_that_cannot_be_read_are_refused_with_a_sentence(world: ConsoleWorld) -> None:
    cookie = b"Cookie: console=" + b"a" * 43 + b"\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: b\r\n\r\na\r\n--x--\r\n'
    for headers, body in (
        (FORM, b"form_token=\xff"),
        (b"Content-Type: application/x-www-form-urlencoded; charset=nonsense\r\n", b"a=b"),
        (b"Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\n", b"a=b"),
        (b"Content-Type: multipart/form-data\r\n", b"--x\r\n\r\na"),
        (b"Content-Type: multipart/form-data; boundary=x\r\n", part),
        (
            b"Content-Type: multipart/form-data; boundary=x\r\n",
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
        ),
        (FORM + b"Content-Encoding: gzip\r\n", b"abc"),
        (FORM + b"Content-Encoding: gzip\r\n", gzip.compress(b"a=b")),
        (b"Content-Type: \xff/\xff\r\n", b"a=b"),
        (FORM, b"&".join(b"a%d=b" % number for number in range(20_000))),
    ):
        found = await answered(world, b"POST /login", cookie + headers, body)
        assert (found.status, b"cannot be read" in found.text) == (400, True), (headers, found)
        assert b"Content-Security-Policy" in found.text
    found = await answered(world, b"POST /login", cookie + FORM, b"a=" + b"b" * 300_000)
    assert (found.status, b"too large" in found.text) == (413, True), found


async def test_bodies_that_cannot_be_read_are_problems(world: ConsoleWorld) -> None:
    bearer = f"Authorization: Bearer {await token(world, 'admin')}\r\n".encode()
    bomb = gzip.compress(b"a" * 50_000_000)
    for headers, body in (
        (JSON + b"Content-Encoding: gzip\r\n", b"abc"),
        (JSON + b"Content-Encoding: gzip\r\n", bomb),
        (b"Content-Type: application/json; charset=nonsense\r\n", b"{}"),
        (b"Content-Type: multipart/form-data; boundary=x\r\n", b"--x--\r\n"),
        (b"Content-Type: \xff/\xff\r\n", b"{}"),
    ):
        found = await answered(world, b"POST /api/v1/tokens", bearer + headers, body)
        assert (found.status, PROBLEM in found.text) == (415, True), (headers, found)
    for path in (b"/api/v1/%0d%0aSet-Cookie:x=1", b"/api/%0a", b"/api/v1/jobs/%0a", b"/api/v1/%ED%A0%80"):
        found = await answered(world, b"GET " + path, bearer)
        assert (found.status, PROBLEM in found.text, b"\r\nSet-Cookie" in found.text) == (404, True, False), found
    for path in (b"/%0d%0aSet-Cookie:x=1", b"//evil.example/", b"/login/%0a"):
        found = await answered(world, b"GET " + path)
        assert (found.status, b"There is no such page" in found.text) == (404, True), found
        assert b"\r\nSet-Cookie:x" not in found.text
