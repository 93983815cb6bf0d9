"""docker-compose.yml: what it starts exists, with settings that exist; the client checks it where there is one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from streams import readme
from streams.cli.__main__ import VERBS

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "cm-streams:local"}


def test_every_process_runs_a_verb_of_ours():
    verbs = {service["command"][0] for service in OURS.values() if "command" in service}
    assert verbs <= set(VERBS)
    assert {"worker", "connector", "webhooks", "simulator", "check-topics"} <= verbs


def test_every_setting_is_one_of_ours():
    known = {name for name, _default, _meaning in readme.setting_rows()}
    used = {name for service in OURS.values() for name in service.get("environment", {})}
    assert used <= known


def test_no_secret_is_on_a_command_line():
    """Everybody on the machine can read it: `ps` and `docker inspect` show it."""
    for service in COMPOSE["services"].values():
        assert not re.search(r"(?i)key|secret|password|token", str(service.get("command", "")))


def test_the_broker_is_the_one_that_is_tested():
    assert COMPOSE["services"]["kafka"]["image"] == "apache/kafka:4.1.1"
    assert COMPOSE["services"]["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_everything_that_keeps_state_has_a_volume_and_everything_is_checked():
    for name in ("kafka", "export-worker", "profile-worker"):
        assert COMPOSE["services"][name]["volumes"]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_client_accepts_it():
    """Ask the compose client where it is installed; without it the checks above stand alone."""
    docker = shutil.which("docker")
    has_compose = docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0
    needed = re.findall(r"\$\{([A-Z_]+):\?", FILE.read_text(encoding="utf-8"))
    assert set(needed) == {"CONTROL_ENCRYPTION_KEY", "WEBHOOK_SECRET"}
    if has_compose:
        environment = {**os.environ, **dict.fromkeys(needed, "x" * 32)}
        checked = subprocess.run(
            [docker, "compose", "-f", str(FILE), "config", "--quiet"], capture_output=True, text=True, env=environment
        )
        assert checked.returncode == 0, checked.stderr
