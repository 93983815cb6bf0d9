"""docker-compose.yml: what it starts exists, with settings that exist; the client checks it where there is one."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import yaml

from streams import readme
from streams.cli.verbs import VERBS

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "cm-streams:local"}


def test_every_process_runs_a_verb_of_ours():
    verbs = {service["command"][0] for service in OURS.values() if "command" in service}
    assert verbs <= set(VERBS)
    assert {"worker", "connector", "webhooks", "simulator", "check-topics"} <= verbs


def test_it_is_a_compose_file():
    """By the specification's own schema, as compose-go v2.16.2 has it (Apache-2.0)."""
    schema = json.loads((ROOT / "tests/contract/schemas/compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_nothing_of_ours_may_write_outside_of_its_volume():
    for service in OURS.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_prometheus_and_grafana_read_what_is_in_the_tree_and_scrape_what_runs():
    for name in ("prometheus", "grafana"):
        assert COMPOSE["services"][name]["profiles"] == ["observability"]
        mounts = [volume for volume in COMPOSE["services"][name]["volumes"] if volume.startswith("./")]
        assert mounts
        assert all((ROOT / mount.split(":")[0]).is_dir() and mount.endswith(":ro") for mount in mounts)
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    hosts = dict(target.split(":") for target in job["static_configs"][0]["targets"])
    assert hosts.keys() <= OURS.keys()
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert set(hosts.values()) == set(re.findall(r"STREAMS_HEALTH_PORT=(\d+)", image))


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


def test_the_host_reaches_the_broker():
    broker = COMPOSE["services"]["kafka"]
    assert broker["ports"] == ["127.0.0.1:29092:29092"]
    protocols = dict(
        pair.split(":") for pair in broker["environment"]["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    listeners = dict(pair.split("://") for pair in broker["environment"]["KAFKA_LISTENERS"].split(","))
    advertised = dict(pair.split("://") for pair in broker["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert protocols.keys() == listeners.keys() == advertised.keys() | {"CONTROLLER"}
    assert (listeners["HOST"], advertised["HOST"]) == (":29092", "127.0.0.1:29092")
    assert broker["environment"]["KAFKA_INTER_BROKER_LISTENER_NAME"] == "PLAINTEXT"


def test_the_demonstration_runs_when_asked_for_and_everything_is_up():
    demo = COMPOSE["services"]["demo"]
    assert (demo["profiles"], demo["command"], demo["restart"]) == (["demo"], ["demo"], "no")
    running = {name for name, service in OURS.items() if "profiles" not in service and name != "topics"}
    assert demo["depends_on"].keys() == running
    assert {wait["condition"] for wait in demo["depends_on"].values()} == {"service_healthy"}
    assert demo["environment"]["CM_API_KEY"] == COMPOSE["services"]["simulator"]["environment"]["CM_API_KEY"]


def locked(name):
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {package.lower().replace("_", "-"): version for package, version in pinned}


def test_images_have_no_development_tools():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    development = {re.split(r"[<>=\[]", line)[0].lower() for line in project["optional-dependencies"]["dev"]}
    needed = {re.split(r"[<>=\[]", line)[0].lower() for line in project["dependencies"]}
    image, everything = locked("requirements-run.lock"), locked("requirements.lock")
    build = locked("requirements-build.lock")
    system = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert {re.split(r"[<>=]", line)[0] for line in system} <= build.keys()
    assert {name: build[name] for name in build.keys() & everything.keys()}.items() <= everything.items()
    assert not (development - needed) & image.keys()
    assert needed <= image.keys()
    assert image.items() <= everything.items()
    _about, *stages = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    assert (
        "--python /opt/cm-streams/bin/python install --no-cache-dir --require-hashes -r requirements-run.lock"
        in stages[0]
    )
    assert "gcc" not in stages[1]
    assert "COPY --from=build /opt/cm-streams /opt/cm-streams" in stages[1]


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
