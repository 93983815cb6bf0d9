"""The webhook receiver as a process, and what strangers send it: it refuses, or keeps a dead letter, and answers on."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles

import psutil
import pytest
from pydantic import SecretStr

from connectors.bounded_server import MAX_CONNECTIONS
from connectors.control.crypto import new_key
from connectors.devkit.ports import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from connectors.logs import MAX_LINE
from connectors.webhook.body import path_of
from schemas.control import WebhookRegistration
from tests import kafka_io
from tests.deadline import within

SECRET = "a-secret-of-the-tests"
LIST = "a" * 32
HOOKED = "b" * 32
SAMPLE = path_of(SecretStr(SECRET), LIST, sample=True)
GENUINE = path_of(SecretStr(SECRET), HOOKED)
USUAL_OPEN_FILES = 1_024
"""A receiver has no more where nobody has set a limit."""
MAX_BODY_BYTES = 2_000_000
"""More than a topic takes of one record."""


def event(email="somebody@example.com", **more):
    return {"Type": "Subscribe", "Date": "2026-05-02 10:11:12", "EmailAddress": email, **more}


def body(*events):
    return json.dumps({"ListID": HOOKED, "Events": events}).encode()


ENTITIES = """<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<Webhook><Events><Event><Type>Subscribe</Type><EmailAddress>&b;</EmailAddress></Event></Events></Webhook>"""
NESTED = b'{"ListID": "' + HOOKED.encode() + b'", "Events": [' + b'{"a":' * 300_000 + b"1" + b"}" * 300_000 + b"]}"
HOSTILE = {
    "nested in itself": NESTED,
    "one event nested in itself": body(event(CustomFields=None)).replace(b"null", b"[" * 5_000 + b"]" * 5_000),
    "UTF-16 with entities": ENTITIES.encode("utf-16"),
    "larger than the topic takes": body(event("large@example.com", Name="x" * 1_200_000)),
}
"""Bodies that are genuine by their path, and cannot be used: each is kept as a dead letter."""


@dataclass(frozen=True)
class Running:
    """A receiver that runs, and where its dead letters are."""

    port: int
    bootstrap_servers: str
    dead_letters: str
    process: psutil.Process


@pytest.fixture(scope="module")
def receiver(bootstrap_servers, tmp_path_factory):
    """A receiver, a process of its own, that knows one list."""
    directory = tmp_path_factory.mktemp("receiver")
    kafka = KafkaSettings(
        _env_file=None,
        bootstrap_servers=bootstrap_servers,
        topic_prefix=f"{directory.name}-{os.getpid()}-",
        partitions=1,
    )
    ensure_topics(kafka, create=True)
    known = WebhookRegistration(
        list_id=HOOKED,
        client_id="c",
        time_zone="(GMT) Coordinated Universal Time",
        job_ids=["j"],
        authorization_id="a",
        base_url="http://127.0.0.1:9",
        state="active",
        updated_at=datetime.now(UTC),
    )
    webhooks = kafka.names()["cm_webhooks"]
    kafka_io.produce(bootstrap_servers, webhooks, [(HOOKED.encode(), known.model_dump_json().encode())])
    port, health = free_ports(2)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "KAFKA_PARTITIONS": "1",
        "CONTROL_ENCRYPTION_KEY": new_key(),
        "STREAMS_DATA_DIR": str(directory),
        "STREAMS_HEALTH_PORT": str(health),
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_PORT": str(port),
        "WEBHOOK_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    }
    with (directory / "log").open("wb") as output:
        command = [sys.executable, "-m", "streams.cli", "webhooks"]
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output, cwd=directory)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (USUAL_OPEN_FILES, USUAL_OPEN_FILES))
    try:
        within(60, lambda: answers(port) or process.poll() is not None, every=0.1)
        assert process.poll() is None, (directory / "log").read_text()
        yield Running(port, bootstrap_servers, kafka.names()["cm_activity"] + ".dlq", psutil.Process(process.pid))
        assert process.poll() is None, (directory / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (directory / "log").read_text()
        written = (directory / "log").read_text()
        assert "Traceback" not in written
        assert not [token for token in (SAMPLE, GENUINE, "canary") if token in written]
        assert max(map(len, written.splitlines())) <= MAX_LINE + 100, "with what is named of the rest"
    finally:
        process.kill()
        process.wait()


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def post(port, path, body):
    """Return the status of a post."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def begun(stack, port, text=b""):
    """Return a connection that was opened, with the beginning of a request."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
    connection.sendall(text)
    return connection


@pytest.mark.long_fault
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"POST /hooks/x HTTP/1.1\r\nHost: h\r\nX: ",
        f"POST {SAMPLE} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode(),
    ],
    ids=["idle", "header that never ends", "body that never ends"],
)
def test_connections_that_never_ask_keep_nobody_waiting(receiver, text):
    """More than it holds: the one that waited longest is closed for a new one."""
    with ExitStack() as stack:
        first = begun(stack, receiver.port, text)
        for _number in range(MAX_CONNECTIONS + 20 if not text else 60):
            begun(stack, receiver.port, text)
        assert post(receiver.port, SAMPLE, b'{"Events": []}') == 200
        if not text:
            assert first.recv(1) == b"", "the one that waited longest is closed"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (SAMPLE, b" " * (MAX_BODY_BYTES + 1), 413),
        (SAMPLE, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 200),
        (path_of(SecretStr(SECRET), LIST), json.dumps({"ListID": LIST, "Events": []}).encode(), 404),
        (f"/hooks/{LIST}/canary", b"{}", 404),
    ],
    ids=["too large", "nested deeply", "a list that has no webhook", "a wrong path"],
)
def test_a_post_is_answered_at_once_whatever_it_holds(receiver, path, body, status):
    assert post(receiver.port, path, body) == status


def test_a_request_that_is_none_is_refused(receiver):
    with ExitStack() as stack:
        connection = begun(stack, receiver.port, b"POST /\x80 HTTP/1.1\r\nHost: \x80\r\n\r\n" + b"\xff" * 100)
        assert b" 400 " in connection.recv(4096).partition(b"\r\n")[0] or connection.recv(1) == b""
    assert post(receiver.port, SAMPLE, b'{"Events": []}') == 200


@pytest.fixture
def many_files():
    """Each connection is an open file of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, hard) if hard > 0 else 8_192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def p99(port, posts=150):
    """Return the time of a post of others, in seconds: published, and on one connection."""
    seconds = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        for number in range(posts):
            began = time.perf_counter()
            connection.request("POST", GENUINE, body(event(f"p{number}@example.com")), HEADERS)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            seconds.append(time.perf_counter() - began)
    return quantiles(seconds, n=100)[98]


HEADERS = {"Content-Type": "application/json"}
SLOW = f"POST {GENUINE} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode()
ENDLESS = f"POST {GENUINE} HTTP/1.1\r\nHost: h\r\nX: ".encode()


@pytest.mark.long_fault
@pytest.mark.usefixtures("many_files")
def test_others_wait_at_most_twice_as_long_under_attack(receiver):
    """In turns, as the machine has other work, too: the quietest of the attacked against the busiest of the usual."""
    usual, attacked = [], []
    p99(receiver.port)
    for _turn in range(2):
        usual.append(p99(receiver.port))
        with ExitStack() as stack:
            for text, count in ((SLOW, 40), (b"", 1_500), (ENDLESS, 40)):
                for _number in range(count):
                    begun(stack, receiver.port, text)
            attacked.append(p99(receiver.port))
    assert min(attacked) < 2 * max(usual), (usual, attacked)


@pytest.mark.long_fault
def test_hostile_bodies_are_dead_letters_and_keep_nobody_waiting(receiver):
    """One is never answered 503: it would be sent again for ever."""
    usual = p99(receiver.port)
    took = {}
    for name, hostile in HOSTILE.items():
        began = time.perf_counter()
        assert post(receiver.port, GENUINE, hostile) == 200, name
        took[name] = time.perf_counter() - began
    assert max(took.values()) < max(100 * usual, 2), took
    letters = kafka_io.read_all(receiver.bootstrap_servers, receiver.dead_letters)
    assert len(letters) == len(HOSTILE)
    left_out = [letter for letter in letters if not letter.value]
    assert len(left_out) <= 2, "what the dead-letter topic does not take is left out, with its size"
    assert p99(receiver.port) < 10 * usual


@pytest.mark.long_fault
def test_requests_that_cannot_be_parsed_cost_no_more_than_usual_ones(receiver):
    """100 with a raw byte in the token took 27 s: each was logged with all that the program held."""

    def cpu_seconds(send):
        before = receiver.process.cpu_times()
        for _number in range(100):
            send()
        after = receiver.process.cpu_times()
        return after.user + after.system - before.user - before.system

    def raw_byte():
        with ExitStack() as stack:
            path = f"{GENUINE[:-8]}canary\x80".encode("latin-1")
            connection = begun(stack, receiver.port, b"POST " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            connection.recv(4096)

    usual = cpu_seconds(lambda: post(receiver.port, GENUINE, body(event())))
    assert cpu_seconds(raw_byte) < 3 * max(usual, 0.1)
