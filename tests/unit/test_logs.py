"""What reaches the log: no values of variables, no secrets, no line without end, nothing that a terminal obeys."""

import subprocess
import sys
import time

import orjson
import pytest

from connectors.logs import MASKED, MAX_LINE, mask_addresses, own_secrets, safe_text

PROGRAM = """
import logging
import structlog
from aiohttp.http_exceptions import InvalidURLError
from connectors import logs

logs.configure("{format}", "info", process="test")
log = structlog.get_logger("ours")

def fail():
    value_of_a_variable = "canary-" + "local"
    other = [value_of_a_variable] * 1000
    raise RuntimeError("Basic Y2FuYXJ5Ong= http://h/hooks/list/canary-path?token=canary-token " + str(len(other)))

try:
    fail()
except RuntimeError:
    log.exception("ours failed")
    logging.getLogger("theirs").exception("theirs failed")
    log.info("nested", settings={{"password": ["canary-of-the-environment"]}})
try:
    raise InvalidURLError("POST /hooks/list/canary-unparsable")
except InvalidURLError:
    logging.getLogger("aiohttp.server").exception("Error handling request from %s", "192.0.2.7")
log.info("long", value="v" * 1_000_000, rows=[{{"k": "v" * 100}}] * 10_000)
logging.getLogger("theirs").warning("w" * 1_000_000)
log.info("obeyed\\x1b[2J", reason="\\x1b]0;title\\x07")
"""


@pytest.fixture(params=["json", "console"])
def written(request) -> str:
    environment = {"PYTHONPATH": ":".join(sys.path), "CM_API_KEY": "canary-of-the-environment"}
    program = PROGRAM.format(format=request.param)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60, check=True)
    text = done.stderr.decode()
    if request.param == "json":
        for line in text.splitlines():
            orjson.loads(line)
    return text


def test_neither_variables_nor_secrets_reach_the_log(written):
    assert "canary" not in written
    assert "ours failed" in written
    assert "theirs failed" in written
    assert written.count("Traceback") == 2


def test_a_request_that_cannot_be_parsed_is_one_line(written):
    (line,) = [line for line in written.splitlines() if "InvalidURLError" in line]
    assert "request cannot be parsed: InvalidURLError" in line
    assert "error" not in line.replace("InvalidURLError", "")


def test_lines_are_bounded_and_hold_nothing_that_a_terminal_obeys(written):
    assert max(map(len, written.splitlines())) < MAX_LINE
    assert len(written) < 20_000
    assert "characters left out" in written
    assert "\x1b" not in written


def test_the_processs_own_secrets_are_hidden_by_their_value():
    environment = {"CM_API_KEY": "longer-than-the-other", "WEBHOOK_SECRET": "longer-than", "HOME": "/home/longer"}
    secrets = own_secrets(environment | {"CONTROL_ENCRYPTION_KEY": "abc"})
    assert secrets == ("longer-than-the-other", "longer-than")
    assert safe_text("longer-than-the-other, longer-than, /home/longer", secrets) == "***, ***, /home/longer"


WITH_ADDRESSES = """
import logging
import structlog
from connectors import logs

logs.configure("{format}", "info", process="test"{more})
log = structlog.get_logger("ours")
person = "canary@example.com"
log.info("read for " + person, job="j1", list_id="l1", partition=7, key=person.encode(), rows=[{{person: (person,)}}])
log.warning("call failed", error=str(OSError("GET /subscribers/l1.json?email=canary%40example.com&x=1")))
logging.getLogger("theirs").warning("key %s", b"canary@example.com")
try:
    raise ValueError(f"no row of {{person}}")
except ValueError:
    log.exception("ours failed", error=ValueError(person))
    logging.getLogger("theirs").exception("theirs failed")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_addresses_are_masked_unless_told_otherwise(form):
    def written_with(more: str) -> str:
        program = WITH_ADDRESSES.format(format=form, more=more)
        environment = {"PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        return done.stderr.decode()

    masked = written_with("")
    assert "canary" not in masked.replace('person = "canary', "")
    assert masked.count(MASKED) >= 8
    assert {"j1", "l1", "7"} <= set(masked.replace('"', " ").replace("=", " ").replace(",", " ").split())
    assert written_with(", addresses=True").count("canary") >= 8
    if form == "json":
        first = orjson.loads(masked.splitlines()[0])
        assert (first["job"], first["list_id"], first["partition"]) == ("j1", "l1", 7)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("p.q+tag@mail.example.co.uk, next", "(address), next"),
        ("'o'brien@example.com'", "'(address)'"),
        ("\u00fcmit@\u00fcber.example: no", "(address): no"),
        ("/a?email=p%2Bq%40example.com&list=l", "/a?email=(address)&list=l"),
        ("/profiles/p%2540example.com/x", "/profiles/(address)/x"),
        ("mailto:P_1@EXAMPLE.COM.", "mailto:(address)."),
        ("to=%40p@example.com", "to=%40(address)"),
        ("<p@example.com>", "<(address)>"),
        ("version 1.2, at 12:00 @ host, list%2Fl1", "version 1.2, at 12:00 @ host, list%2Fl1"),
        ("<object at 0x7f00>", "<object at 0x7f00>"),
    ],
)
def test_an_address_is_found_where_it_stands(text, left):
    assert mask_addresses(None, "", {"event": text})["event"] == left


@pytest.mark.parametrize("part", ["a", "a'", "%2", "a.", "@a", "a@", "a@b.", "%25", "%2540", "a%40"])
def test_a_long_text_costs_no_more_than_its_length(part):
    """A stranger's text must not stop a process: this takes a second, or an hour by the square of its length."""
    began = time.process_time()
    mask_addresses(None, "", {"event": part * 200_000})
    assert time.process_time() - began < 10
