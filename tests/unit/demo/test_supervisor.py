"""What `make run` does with a process that ends with code 78: it is started again where it was ready before."""

import contextlib
import os
import signal
import sys

import pytest

from connectors.devkit.ports import free_ports
from streams.demo import supervisor as supervisors
from streams.demo.supervisor import Service, ServiceFailedError, Supervisor
from tests.deadline import eventually

SENTENCE = "cannot listen on 127.0.0.1:1: Address already in use; set another STREAMS_HEALTH_PORT"
CHILD = f"""
import http.server, os, pathlib, sys
if pathlib.Path("taken").exists():
    sys.exit(print("{SENTENCE}", file=sys.stderr) or 78)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready)
pathlib.Path("pid").write_text(str(os.getpid()))
server.serve_forever()
"""
PYTHON = f"""#!/bin/sh
[ "$1" = -m ] && exec {sys.executable} -I -S child.py
exec {sys.executable} "$@"
"""


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A process that answers, and ends with the sentence where there is a file `taken`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(supervisors.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(supervisors, "RESTART_SECONDS", (0.02, 0.05))
    (port,) = free_ports(1)
    return Service("worker", ("worker",), {"PORT": str(port)}, f"http://127.0.0.1:{port}/ready")


@contextlib.asynccontextmanager
async def supervised(tmp_path, lines):
    supervisor = Supervisor(tmp_path / "logs", report=lines.append)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def test_a_process_whose_port_is_taken_while_it_is_away_is_started_until_it_is_free(tmp_path, service):
    lines = []
    async with supervised(tmp_path, lines) as supervisor:
        await supervisor.start(service, within_seconds=20)
        (tmp_path / "taken").touch()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        again = f"worker ended with code 78 ({SENTENCE}), and is started again"
        await eventually(lambda: lines.count(again) >= 2 or supervisor.failed.done())
        (tmp_path / "taken").unlink()
        await eventually(lambda: "worker is ready again" in lines[-1] or supervisor.failed.done())
        assert not supervisor.failed.done(), supervisor.failed.exception()
        assert lines[0] == "worker ended with code 137, and is started again"


async def test_a_process_that_was_never_ready_is_not_started_again(tmp_path, service):
    lines = []
    (tmp_path / "taken").touch()
    async with supervised(tmp_path, lines) as supervisor:
        with pytest.raises(ServiceFailedError, match=f"worker ended with code 78(?s:.*){SENTENCE}"):
            await supervisor.start(service, within_seconds=20)
    assert lines == []
