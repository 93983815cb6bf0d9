"""While no broker answers: a command ends with a sentence within its time, a process waits and answers probes."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from typer.testing import CliRunner

from connectors.control.crypto import new_key
from connectors.devkit.ports import free_ports
from connectors.kafka import broker_check
from connectors.kafka.admin import BrokersUnreachableError
from streams.cli.verbs import cli
from tests.deadline import within

CLI = [sys.executable, "-m", "streams.cli"]


def environment(tmp_path, servers, **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "STREAMS_", "CM_"))}
    return {**clean, "KAFKA_BOOTSTRAP_SERVERS": servers, "STREAMS_DATA_DIR": str(tmp_path), **more}


@pytest.mark.parametrize(("options", "seconds"), [([], 4.0), (["--timeout", "1.5"], 1.5)])
def test_a_command_waits_for_brokers_no_longer_than_it_is_given(monkeypatch, options, seconds):
    given = []

    def check(_settings, within_seconds):
        given.append(within_seconds)
        raise BrokersUnreachableError("no broker answers")

    monkeypatch.setattr(broker_check, "check_brokers", check)
    for command in (["lag"], ["job", "list"], ["receipts"]):
        done = CliRunner().invoke(cli, [*options, *command], env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})
        assert (done.exit_code, done.stdout, done.stderr) == (78, "", "no broker answers\n")
    assert given == [seconds] * 3


def asked(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())
    except OSError:
        return None


@pytest.mark.parametrize("process", [["connector"], ["worker", "export"]])
def test_a_process_that_waits_for_brokers_answers_probes(tmp_path, process):
    (port,) = free_ports(1)
    settings = environment(tmp_path, "127.0.0.1:9", STREAMS_HEALTH_PORT=str(port), CONTROL_ENCRYPTION_KEY=new_key())
    running = subprocess.Popen(
        [*CLI, *process], env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert within(30, lambda: asked(f"http://127.0.0.1:{port}/live")) == (200, {"live": True})
        status, answer = asked(f"http://127.0.0.1:{port}/ready")
        assert status == 503
        assert "127.0.0.1:9" in answer["reason"]
        running.send_signal(signal.SIGTERM)
        written, _none = running.communicate(timeout=10)
        assert "Traceback" not in written
        assert written.count("waiting for the brokers") == 1
    finally:
        running.kill()
        running.wait()
