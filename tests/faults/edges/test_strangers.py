"""The webhook receiver as a process, and what strangers send it: it refuses, or keeps a dead letter, and answers on."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
from pydantic import SecretStr

from connectors.bounded_server import MAX_CONNECTIONS
from connectors.control.crypto import new_key
from connectors.devkit.embedded_kafka.launch import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.body import path_of
from tests.deadline import within

SECRET = "a-secret-of-the-tests"
LIST = "a" * 32
SAMPLE = path_of(SecretStr(SECRET), LIST, sample=True)
MAX_BODY_BYTES = 65_536


@pytest.fixture(scope="module")
def receiver(bootstrap_servers, tmp_path_factory):
    """The port of a receiver, a process of its own."""
    directory = tmp_path_factory.mktemp("receiver")
    kafka = KafkaSettings(
        _env_file=None,
        bootstrap_servers=bootstrap_servers,
        topic_prefix=f"{directory.name}-{os.getpid()}-",
        partitions=1,
    )
    ensure_topics(kafka, create=True)
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
    try:
        within(60, lambda: answers(port) or process.poll() is not None, every=0.1)
        assert process.poll() is None, (directory / "log").read_text()
        yield port
        assert process.poll() is None, (directory / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (directory / "log").read_text()
        assert "Traceback" not in (directory / "log").read_text()
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
        first = begun(stack, receiver, text)
        for _number in range(MAX_CONNECTIONS + 20 if not text else 60):
            begun(stack, receiver, text)
        assert post(receiver, SAMPLE, b'{"Events": []}') == 200
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
    assert post(receiver, path, body) == status


def test_a_request_that_is_none_is_refused(receiver):
    with ExitStack() as stack:
        connection = begun(stack, receiver, b"POST /\x80 HTTP/1.1\r\nHost: \x80\r\n\r\n" + b"\xff" * 100)
        assert b" 400 " in connection.recv(4096).partition(b"\r\n")[0] or connection.recv(1) == b""
    assert post(receiver, SAMPLE, b'{"Events": []}') == 200
