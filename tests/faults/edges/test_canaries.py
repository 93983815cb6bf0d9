"""Secrets that every process is given, and addresses that it is asked for, are in nothing that it writes or shows."""

import base64
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.devkit.ports import free_ports
from streams import readme
from tests.deadline import within

KEY = base64.b64encode(b"canary-canary-canary-canary-1234").decode()
ADDRESS = "canary-person@example.com"
PROCESSES = {
    "export": ("worker", "export"),
    "profiles": ("worker", "profiles"),
    "connector": ("connector",),
    "webhooks": ("webhooks",),
    "simulator": ("simulator", "--port", "{port}"),
    "lag": ("lag",),
    "job": ("job", "list"),
    "authorization": ("auth", "add", "--id", "main"),
}
"""Those that serve go on, without a broker; a command ends."""


def secrets():
    """Return a canary for each setting that is a secret, and for what `auth add` reads."""
    names = [name for name, _default, _meaning in readme.setting_rows()]
    secret = {
        name: f"canary-{name.lower()}"
        for name in names
        if name.endswith(("_PASSWORD", "_SECRET", "_API_KEY", "_TOKEN"))
    }
    assert len(secret) >= 7
    return {
        **secret,
        "CAMPAIGN_MONITOR_API_KEY": "canary-account-key",
        "CONTROL_ENCRYPTION_KEY": KEY,
        "CONTROL_OLD_ENCRYPTION_KEYS": KEY,
    }


def request(port, token):
    """Send a request with secrets and an address in each place, and a raw byte that cannot be parsed, to a port."""
    for path in (f"/hooks/l1/{token}", f"/api/v3.3/x?token={token}&email={ADDRESS}", f"/{token}\x80"):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {token}\r\nContent-Length: 40\r\n\r\n"
            connection.sendall(head.encode("latin-1") + f'{{"EmailAddress": "{ADDRESS}"}}'.encode().ljust(40))
            connection.recv(4096)


@pytest.mark.parametrize("log_format", ["console", pytest.param("json", marks=pytest.mark.long_fault)])
def test_no_process_writes_or_shows_a_secret_or_an_address(tmp_path, log_format):
    given = secrets()
    ports = dict(zip(PROCESSES, free_ports(len(PROCESSES)), strict=True))
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    shared = {
        **clean,
        **given,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "somebody",
        "STREAMS_LOG_LEVEL": "debug",
        "STREAMS_LOG_FORMAT": log_format,
    }
    running = {}
    for name, words in PROCESSES.items():
        own = {"STREAMS_DATA_DIR": str(tmp_path / name), "STREAMS_HEALTH_PORT": str(ports[name])}
        command = [sys.executable, "-m", "streams.cli", *(word.format(port=ports[name]) for word in words)]
        with (tmp_path / f"{name}.log").open("wb") as output:
            running[name] = subprocess.Popen(command, env={**shared, **own}, stdout=output, stderr=output, cwd=tmp_path)
    serving = [name for name in PROCESSES if name not in ("lag", "job", "authorization")]
    try:
        for name in serving:
            within(60, lambda name=name: answers(ports[name]) or running[name].poll() is not None)
            assert running[name].poll() is None, (tmp_path / f"{name}.log").read_text()
            request(ports[name], "canary-token")
        shown = "".join(Path(f"/proc/{running[name].pid}/cmdline").read_text() for name in serving)
        for name in serving:
            running[name].send_signal(signal.SIGTERM)
        for process in running.values():
            process.wait(20)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    written = {file: file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()}
    assert all(written[tmp_path / f"{name}.log"] for name in PROCESSES)
    assert "worker" in shown
    for canary in (*given.values(), "canary", base64.b64encode(b"canary-cm_api_key:x").decode().rstrip("=")):
        assert canary not in shown
        assert not [file.name for file, text in written.items() if canary in text]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
