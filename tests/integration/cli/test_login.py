"""`cm-streams auth login`: from the page of Campaign Monitor to a sealed authorization, and every other end."""

import asyncio
import json
import queue
import signal
import socket
import subprocess
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner
from yarl import URL

from connectors import logs
from connectors.campaign_monitor.oauth import SCOPES
from connectors.control.crypto import new_key
from connectors.devkit.ports import free_ports
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from streams.cli.verbs import cli
from tests.deadline import eventually
from tests.kafka_io import read_all
from tests.person import Person


class World:
    """A broker, a Campaign Monitor, and a command that has opened its page."""

    def __init__(self, kafka: KafkaSettings, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kafka = kafka
        self.simulator = simulator
        (self.port,) = free_ports(1)
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "CONTROL_ENCRYPTION_KEY": new_key(),
            "CM_BASE_URL": simulator.base_url,
            "CM_OAUTH_URL": simulator.oauth_url,
            "CM_OAUTH_CLIENT_ID": simulator.settings.oauth_client_id,
            "CM_OAUTH_CLIENT_SECRET": simulator.settings.oauth_client_secret,
            "CM_OAUTH_REDIRECT_URL": f"http://127.0.0.1:{self.port}/authorized",
        }
        self._opened: queue.SimpleQueue[str] = queue.SimpleQueue()
        monkeypatch.setattr(webbrowser, "open", self._opened.put)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def start(self, *arguments: str, given: str = "") -> "asyncio.Task[Result]":
        """Start `auth login` beside the test."""
        command = ["auth", "login", *arguments]
        return asyncio.create_task(asyncio.to_thread(CliRunner().invoke, cli, command, input=given))

    async def page(self) -> str:
        """The address that the command has opened."""
        return await asyncio.to_thread(self._opened.get, timeout=20)

    async def run(self, *arguments: str) -> Result:
        """Run another command."""
        return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments))

    async def authorizations(self) -> list[dict[str, Any]]:
        """What `auth list` shows."""
        listed = (await self.run("auth", "list", "--json")).stdout
        return [json.loads(line) for line in listed.splitlines() if line.startswith("{")]


def last_line(done: Result) -> str:
    """What a command has printed after the lines of the log."""
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture
async def world(
    bootstrap_servers: str, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[World]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_args, **_kwargs: None)
    kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=1)
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    async with Simulator(SimulatorSettings()) as simulator:
        simulator.controls.add_list(simulator.controls.add_client("Acme"), "Newsletter")
        yield World(kafka, simulator, monkeypatch)


async def test_a_person_logs_in_allows_access_and_the_account_can_be_read(world: World) -> None:
    command = world.start("--description", "Acme Inc.")
    async with Person() as person:
        shown = await person.allow(await world.page())
    done = await command
    assert done.exit_code == 0, done.output
    name = last_line(done)
    assert name.startswith("acme-inc-")
    assert (shown.heading, person.status) == ("Access allowed", 200)
    assert f"Authorization {name} is stored" in shown.html
    assert "ImportSubscribers: exports add, update and remove people" in done.stderr
    [stored] = await world.authorizations()
    assert (stored["kind"], stored["state"], stored["description"]) == ("oauth", "ready", "Acme Inc.")
    tested = await world.run("auth", "test", name, "--json")
    assert tested.exit_code == 0, tested.output
    assert json.loads(last_line(tested))["permissions"] == dict.fromkeys(SCOPES, True)
    tokens = {*world.simulator.state.keyring.tokens, *world.simulator.state.keyring.refresh_tokens}
    records = read_all(world.kafka.bootstrap_servers, world.kafka.names()["cm_authorizations"])
    seen = f"{done.output} {shown.html} {records}"
    assert tokens
    assert not [token for token in tokens if token in seen]


async def test_a_log_in_again_keeps_the_name_and_the_description_and_a_new_one_asks_for_it(world: World) -> None:
    async with Person() as person:
        first = world.start("main", given="Acme Inc.\n")
        await person.allow(await world.page())
        assert (await first).exit_code == 0
        again = world.start("main")
        await person.open(await world.page())
        await person.press("Allow access")
        assert last_line(await again) == "main"
    [stored] = await world.authorizations()
    assert stored["description"] == "Acme Inc."
    assert (await world.run("auth", "rename", "main", "Acme Ltd.")).exit_code == 0
    assert (await world.run("auth", "rename", "main", " ")).exit_code == 2
    [renamed] = await world.authorizations()
    assert renamed["description"] == "Acme Ltd."


async def deny(world: World, person: Person, page: str) -> None:
    await person.open(page)
    await person.log_in()
    await person.press("Deny")


async def code_is_refused(world: World, person: Person, page: str) -> None:
    world.simulator.controls.change_settings(oauth_client_secret="another")
    await person.allow(page)


async def another_answer(world: World, person: Person, page: str) -> None:
    shown = await person.open(f"http://127.0.0.1:{world.port}/authorized?code=c&state=another")
    assert shown.heading == "Not this log-in"
    await deny(world, person, page)


async def nobody_comes(world: World, person: Person, page: str) -> None:
    await person.open(page)


@pytest.mark.parametrize(
    ("happens", "sentence"),
    [
        (deny, "Access was denied at Campaign Monitor: nothing was stored"),
        (code_is_refused, "Campaign Monitor does not accept CM_OAUTH_CLIENT_SECRET: nothing was stored"),
        (another_answer, "Access was denied at Campaign Monitor"),
        (nobody_comes, "Nobody came back from Campaign Monitor within 2 s: nothing was stored. Begin again with "),
    ],
)
async def test_every_other_end_is_a_sentence_and_stores_nothing(
    world: World, happens: Callable[..., Any], sentence: str
) -> None:
    command = world.start("main", "--description", "x", "--timeout", "2" if happens is nobody_comes else "60")
    async with Person() as person:
        await happens(world, person, await world.page())
    done = await command
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert await world.authorizations() == []
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", world.port)), "nothing listens any more"


async def test_two_log_ins_at_once_are_refused_and_ctrl_c_leaves_nothing_behind(world: World) -> None:
    command = [sys.executable, "-m", "streams.cli", "auth", "login", "main", "--description", "x", "--no-browser"]
    running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stderr is not None
    while not (line := (await running.stderr.readline()).decode()).startswith(world.simulator.oauth_url):
        assert line, "it ended without the address"
    second = await world.start("other", "--description", "x")
    assert second.exit_code == 1
    assert "end the other log-in that waits there" in second.stderr
    running.send_signal(signal.SIGINT)
    out, err = await running.communicate()
    assert (out, running.returncode) == (b"", 130), err
    assert b"Traceback" not in err
    assert await world.authorizations() == []
    assert URL(line.strip()).query["redirect_uri"] == world.environment["CM_OAUTH_REDIRECT_URL"]
    await eventually(lambda: socket.socket().connect_ex(("127.0.0.1", world.port)) != 0)


async def test_without_an_application_the_settings_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CM_OAUTH_CLIENT_ID")
    done = await world.start("main", "--description", "x")
    assert done.exit_code == 1
    assert "CM_OAUTH_CLIENT_ID and CM_OAUTH_CLIENT_SECRET are not set" in done.stderr
