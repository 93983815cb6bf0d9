"""`cm-streams up`: the demonstration ends as expected, and Ctrl-C leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from connectors.control.crypto import new_key
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from tests.deadline import within

UP = [sys.executable, "-m", "streams.cli", "up"]
SETTINGS = ("KAFKA_", "CM_", "STREAMS_", "CONTROL_", "WEBHOOK_", "PROFILE_", "IMPORT_", "EXPORT_")


def environment(data_dir):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {**clean, "STREAMS_DATA_DIR": str(data_dir), "COLUMNS": "160"}


END_SECONDS = 15
"""Ten seconds are promised; other tests may keep the machine busy."""


def processes_of(data_dir):
    """Return the processes that work in a data directory: by their arguments, or by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(data_dir) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [process for process in found if process.pid != os.getpid()]


SECRETS = {
    "CM_API_KEY": "canary-api-key-1234",
    "CONTROL_ENCRYPTION_KEY": new_key(),
    "WEBHOOK_SECRET": "canary-webhook-secret-1234",
    "PROFILE_API_TOKEN": "canary-profile-token-1234",
}


def written_below(directory):
    """Return what the processes and the broker of a start wrote for people to read."""
    files = [*(directory / "logs").iterdir(), directory / "kafka" / "kafka.log"]
    return "".join(file.read_text(errors="replace") for file in files)


@pytest.mark.slow
def test_the_demonstration_ends_as_expected_and_shows_nobody_s_secrets(tmp_path):
    data_dir = tmp_path / "data"
    with Up(data_dir, "--once", **SECRETS) as up:
        up.until(lambda: "published 372 audience events" in up.output)
        shown = "".join(" ".join(process.cmdline()) for process in processes_of(data_dir))
        assert "worker export" in shown
        within(280, lambda: up.process.poll() is not None)
        assert up.process.returncode == 0, up.output
    assert "differs" not in up.output
    assert "lag of all groups" in up.output
    assert "GETPID" not in up.output
    assert "librdkafka" not in up.output
    written = up.output + shown + written_below(data_dir / "once")
    assert "health" in written
    for canary in (*SECRETS.values(), "@example.com", "@work.example"):
        assert canary not in written
    within(END_SECONDS, lambda: not processes_of(data_dir))


class Up:
    """A running `cm-streams up`, its output line by line."""

    def __init__(self, data_dir, *options, **more):
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [*UP, *options],
            env={**environment(data_dir), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    def until(self, condition):
        within(120, lambda: condition() or self.process.poll() is not None)
        assert condition(), self.output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self._reader.join(5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        lambda up: (up.data_dir / "up" / "kafka" / "server.properties").exists(),
        lambda up: (up.data_dir / "up" / "logs" / "simulator.log").exists(),
        lambda up: "published 372 audience events" in up.output,
    ],
    ids=["broker starts", "processes start", "demonstration"],
)
def test_ctrl_c_stops_everything_in_any_state(tmp_path, moment):
    """Running is the state in which others end it here: with processes that hang, and after the first hour."""
    with Up(tmp_path / "data") as up:
        up.until(lambda: moment(up))
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(10) == 0, up.output
        assert "Traceback" not in up.output
    within(END_SECONDS, lambda: not processes_of(tmp_path / "data"))


@pytest.mark.slow
def test_a_second_start_leaves_the_first_alone_and_its_settings_serve_a_shell(tmp_path):
    data_dir = tmp_path / "data"
    with Up(data_dir) as up:
        up.until(lambda: "running after" in up.output)
        assert len(processes_of(data_dir)) > 4
        second = subprocess.run(UP, env=environment(data_dir), capture_output=True, text=True, timeout=20)
        assert second.returncode == 78
        assert second.stderr.startswith(f"Another `make run` (process {up.process.pid}) uses {data_dir}/up")
        assert "STREAMS_DATA_DIR" in second.stderr
        settings = data_dir / "up" / "env"
        assert settings.stat().st_mode & 0o777 == 0o600
        script = f"""
            source {settings} && cd {tmp_path}
            {sys.executable} -m streams.cli job list --json | wc -l
            {sys.executable} -m streams.cli export plan export-everyone --json >/dev/null; echo plan $?
            curl -sf -u "$CAMPAIGN_MONITOR_API_KEY:x" "$CM_BASE_URL/clients.json" >/dev/null; echo api $?
            curl -s -H "Authorization: Bearer $PROFILE_API_TOKEN" -o /dev/null -w "profile %{{http_code}}" \
                "http://127.0.0.1:$PROFILE_HTTP_PORT/profiles/nobody@example.com"
            for url in "$CM_BASE_URL/clients.json?api_key=canary-1" "http://127.0.0.1:$WEBHOOK_PORT/hooks/l1/canary-2" \
                "http://127.0.0.1:$PROFILE_HTTP_PORT/profiles/canary-3@example.com"; do
                curl -s -o /dev/null -u canary-4:x -H "X: $(printf '\\x80')" -d '{{"Email": "canary-5@example.com"}}' \
                    "$url"
            done
        """
        done = subprocess.run(["bash", "-c", script], env=environment(data_dir), capture_output=True, text=True)
        assert done.stdout.split("\n") == ["4", "plan 0", "api 0", "profile 404"], done.stderr
        assert "canary" not in up.output + written_below(data_dir / "up")
        up.process.send_signal(signal.SIGINT)
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(5) in (0, 130), up.output
    within(END_SECONDS, lambda: not processes_of(data_dir))


def kill(data_dir, words, number=signal.SIGKILL):
    """Send a signal to the processes of a start whose arguments have these words, but to none of those around them."""
    for process in processes_of(data_dir):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            if words in line and "supervise" not in line:
                process.send_signal(number)


SHORT_SESSIONS = {
    "KAFKA_SESSION_TIMEOUT_SECONDS": "10",
    "KAFKA_DELIVERY_TIMEOUT_SECONDS": "8",
    "KAFKA_TRANSACTION_TIMEOUT_SECONDS": "6",
}
"""A killed worker keeps its partitions for a session: 30 s by default, after each of the two kills."""


@pytest.mark.slow
def test_what_was_killed_is_started_again_with_its_data(tmp_path):
    """A worker, the local Campaign Monitor and the broker, then all at once; the next start is in the same shell."""
    data_dir = tmp_path / "data"
    with Up(data_dir, **SHORT_SESSIONS) as up:
        up.until(lambda: "running after" in up.output)
        kill(data_dir, "worker export")
        kill(data_dir, " simulator")
        kill(data_dir, "kafka.Kafka")
        for what in ("export-worker is ready again", "simulator is ready again", "the broker answers again"):
            up.until(lambda what=what: what in up.output)
        assert up.output.count("next: .venv/bin/cm-streams lag") >= 3
        assert "ended with code 137" in up.output
        lines = (data_dir / "up" / "env").read_text().splitlines()
        sourced = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        up.process.kill()
        up.process.wait()
    with Up(data_dir, **SHORT_SESSIONS, **sourced) as up:
        up.until(lambda: "going on with the data" in up.output)
        assert f"Kafka              {sourced['KAFKA_BOOTSTRAP_SERVERS']}" in up.output
        jobs = subprocess.run(
            [*UP[:-1], "job", "list", "--json"],
            env={**environment(data_dir), **sourced},
            capture_output=True,
            text=True,
        )
        assert jobs.stdout.count("\n") == 4, jobs.stderr
        assert "attention" not in jobs.stdout.replace('"attention":null', "")
        for words in ("worker export", " connector", "kafka.Kafka"):
            kill(data_dir, words, signal.SIGSTOP)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(10) == 0, up.output
    within(END_SECONDS, lambda: not processes_of(data_dir))


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_nothing_is_done_to_a_broker_of_somebody_else(tmp_path, bootstrap_servers, namespace, kafka_admin, options):
    theirs = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "KAFKA_TOPIC_PREFIX": namespace}
    done = subprocess.run(
        [*UP, *options], env={**environment(tmp_path), **theirs}, capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stderr.count("\n")) == (78, 1), done.stderr
    assert all(words in done.stderr for words in (bootstrap_servers, "--demo", "unset"))
    assert not [name for name in kafka_admin.list_topics(timeout=10).topics if name.startswith(namespace)]


@pytest.mark.slow
def test_the_demonstration_is_played_on_a_broker_of_somebody_else_when_asked_for(
    tmp_path, bootstrap_servers, namespace
):
    theirs = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "KAFKA_TOPIC_PREFIX": namespace, "KAFKA_PARTITIONS": "1"}
    theirs |= {"EXPORT_APP_ID": namespace + "e", "PROFILE_APP_ID": namespace + "p"}
    with Up(tmp_path / "data", "--demo", **theirs) as up:
        up.until(lambda: "published 372 audience events" in up.output)
        assert bootstrap_servers in up.output
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(10) == 0, up.output
    within(END_SECONDS, lambda: not processes_of(tmp_path / "data"))


async def test_the_demonstration_makes_its_jobs_on_processes_that_run(bootstrap_servers, namespace, tmp_path):
    """Twice: the second time nothing is done; a Campaign Monitor that is none of ours is left alone."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=1)
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    theirs = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": namespace,
        "CONTROL_ENCRYPTION_KEY": new_key(),
    }

    def cli(*words, **more):
        settings = {**environment(tmp_path), **theirs, **more}
        return subprocess.run([*UP[:-1], *words], env=settings, capture_output=True, text=True, timeout=60)

    async with Simulator(SimulatorSettings(demo=True, subscribers=20, activity=20, api_key="demo-key")) as simulator:
        here = {"CM_BASE_URL": simulator.base_url, "CM_API_KEY": "demo-key"}
        for _time in range(2):
            made = await asyncio.to_thread(cli, "demo", "--no-play", **here)
            assert made.returncode == 0, made.stderr
            assert "Next:\n  cm-streams lag" in made.stdout
        listed = await asyncio.to_thread(cli, "job", "list", "--json", **here)
        assert listed.stdout.count("\n") == 4, listed.stderr
    refused = await asyncio.to_thread(cli, "demo", CM_BASE_URL="http://127.0.0.1:9/api/v3.3")
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "127.0.0.1:9" in refused.stderr
