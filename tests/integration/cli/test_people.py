"""Events that a person sends, their receipts, and what an account has."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from streams.batches import partition_of
from streams.control.people import newest_profile
from streams.control.permissions import BY_NAME
from tests.integration.cli.test_control_commands import run, settings, topics
from tests.kafka_io import produce, read_all

__all__ = ["run", "settings", "topics"]

Run = Callable[..., Result]


def shown(result: Result) -> Any:
    """The last line, as JSON; in-process, log lines come before it."""
    return json.loads(result.stdout.splitlines()[-1])


def receipt(email: str, job: str, outcome: str = "added", **more: Any) -> bytes:
    source = {"topic": "audience-membership", "partition": 0, "offset": 1}
    body = {"at": "2026-01-01T00:00:00Z", "job_id": job, "list_id": "l", "email": email, "outcome": outcome}
    return json.dumps({**body, "source": source, **more}).encode()


@pytest.mark.usefixtures("topics")
def test_an_event_is_published_under_its_key(run: Run, settings: KafkaSettings) -> None:
    run("send-event", "--email", " Ann@Example.com", "--enter", "vip=VIP", "--field", "city=Graz")
    run("send-event", "--email", "ann@example.com", "--snapshot", "vip", "--snapshot", "eu=EU")
    run("send-event", "--email", "ann@example.com", "--exit", "vip", "--at", "2026-01-01T00:00:00Z")
    records = read_all(settings.bootstrap_servers, settings.names()["audience-membership"])
    assert [(record.key, record.partition) for record in records] == [
        (b"ann@example.com", partition_of(b"ann@example.com", 2))
    ] * 3
    first, second, third = (json.loads(record.value or b"") for record in records)
    assert (first["change"], first["audience"], first["user"]) == (
        "enter",
        {"id": "vip", "name": "VIP"},
        {"city": "Graz"},
    )
    assert second["audiences"] == [{"id": "vip", "name": "vip"}, {"id": "eu", "name": "EU"}]
    assert (third["change"], third["at"]) == ("exit", "2026-01-01T00:00:00.000Z")


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--email", "nobody", "--enter", "vip"), "--email nobody: it is no e-mail address"),
        (("--email", "a@x.com"), "one of --enter, --exit and --snapshot is needed"),
        (("--email", "a@x.com", "--enter", "a", "--exit", "b"), "and no second one"),
        (("--email", "a@x.com", "--enter", "a", "--field", "city"), "--field city: it is not NAME=VALUE"),
        (("--email", "a@x.com", "--enter", "a", "--at", "soon"), "at: "),
        (("--email", "a@x.com", "--enter", ""), "audience.id: "),
    ],
)
def test_a_wrong_event_is_a_sentence_and_is_not_published(
    run: Run, settings: KafkaSettings, options: tuple[str, ...], sentence: str
) -> None:
    assert sentence in run("send-event", *options, code=2).stderr
    assert not read_all(settings.bootstrap_servers, settings.names()["audience-membership"])


@pytest.mark.usefixtures("topics")
def test_receipts_by_person_and_by_job(run: Run, settings: KafkaSettings) -> None:
    values = [
        receipt("ann@x.com", "a"),
        receipt("ann@x.com", "b", "refused", reason="bounced"),
        receipt("bob@x.com", "a"),
    ]
    keyed = [(json.loads(value)["email"].encode(), value) for value in values]
    produce(settings.bootstrap_servers, settings.names()["audience-delivery"], [*keyed, (b"ann@x.com", b"{")])
    assert run("receipts", "--email", "Ann@x.com").stdout.splitlines() == [
        "2026-01-01 00:00:00  ann@x.com  a  added",
        "2026-01-01 00:00:00  ann@x.com  b  refused bounced",
    ]
    found = [json.loads(line) for line in run("receipts", "--job", "a", "--json").stdout.splitlines()]
    assert sorted(line["email"] for line in found) == ["ann@x.com", "bob@x.com"]


@pytest.mark.usefixtures("topics")
def test_receipts_are_followed_until_ctrl_c(settings: KafkaSettings) -> None:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONUNBUFFERED": "1",
    }
    topic = settings.names()["audience-delivery"]
    produce(settings.bootstrap_servers, topic, [(b"ann@x.com", receipt("ann@x.com", "a"))])
    command = [sys.executable, "-m", "streams.cli", "receipts", "--follow"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "ann@x.com  a  added" in process.stdout.readline()
        produce(settings.bootstrap_servers, topic, [(b"bob@x.com", receipt("bob@x.com", "b"))])
        assert "bob@x.com  b  added" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")


@pytest.mark.usefixtures("topics")
async def test_what_an_account_has_is_listed(run: Run) -> None:
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme")
        news = simulator.controls.add_list(client, "News [/x]")
        simulator.controls.add_field(news, "City", "Number")
        account = {"CM_BASE_URL": simulator.base_url, "CM_OAUTH_URL": simulator.oauth_url}

        async def done(*arguments: str, code: int = 0, given: str = "") -> Result:
            return await asyncio.to_thread(run, *arguments, code=code, given=given, **account)

        await done("auth", "add", "--id", "main", given=simulator.api_key + "\n")
        await done("auth", "add", "--id", "wrong", given="nonsense\n")
        whose = ("--authorization", "main")
        assert shown(await done("account", "clients", *whose, "--json")) == {
            "client": client,
            "name": "Acme",
        }
        line = shown(await done("account", "lists", *whose, "--json"))
        assert line == {"client": client, "list": news, "name": "News [/x]"}
        assert "News [/x]" in (await done("account", "lists", *whose, "--client", client)).stdout
        assert "City" in (await done("account", "fields", *whose, "--list", news)).stdout
        assert "segment" in (await done("account", "segments", *whose, "--list", news)).stdout
        assert "authorization wrong" in (await done("account", "lists", "--authorization", "wrong", code=1)).stderr
        assert "authorization nobody" in (await done("account", "lists", "--authorization", "nobody", code=1)).stderr


@pytest.mark.usefixtures("topics")
async def test_an_authorization_and_a_job_are_checked_against_the_account(run: Run, settings: KafkaSettings) -> None:
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme [/x]")
        news = simulator.controls.add_list(client, "News")
        account = {"CM_BASE_URL": simulator.base_url, "CM_OAUTH_URL": simulator.oauth_url}

        async def done(*arguments: str, code: int = 0, given: str = "") -> Result:
            return await asyncio.to_thread(run, *arguments, code=code, given=given, **account)

        few = simulator.controls.grant_token(["ManageLists", "ViewReports"])
        await done("auth", "add", "--id", "main", given=simulator.api_key + "\n")
        await done("auth", "add", "--id", "few", "--tokens", "-", given=json.dumps(few))
        await done("auth", "add", "--id", "wrong", given="nonsense\n")
        before = simulator.controls.list_state(news)
        assert "Acme [/x]" in (await done("auth", "test", "main")).stdout
        found = shown(await done("auth", "test", "main", "--json"))
        assert found["clients"] == [{"client": client, "name": "Acme [/x]", "lists": 1}]
        assert found["permissions"] == dict.fromkeys(BY_NAME, True)
        missing = shown(await done("auth", "test", "few", "--json", code=1))["permissions"]
        assert {name for name, has in missing.items() if has} == {"ManageLists", "ViewReports"}
        assert "Authorization wrong cannot be used" in (await done("auth", "test", "wrong", code=1)).stderr
        assert "no authorization nobody" in (await done("auth", "test", "nobody", code=1)).stderr

        export = ("job", "create-export", "--client", client, "--list", news, "--id")
        await done(*export, "good", "--authorization", "main")
        await done(*export, "blocked", "--authorization", "few")
        await done(*export, "refused", "--authorization", "wrong", "--no-check")
        await done(
            "job", "create-import", "--id", "reports", "--client", client, "--authorization", "few", "--no-check"
        )
        lines = (await done("job", "check", "good", "--json")).stdout.splitlines()
        checks = [json.loads(line) for line in lines if line[0] == "{"]
        assert [check["name"] for check in checks] == [
            *("account", "lists", "fields", "permission ManageLists", "permission ImportSubscribers")
        ]
        assert not any(check["faults"] for check in checks)
        assert "exports add, update and remove people" in (await done("job", "check", "blocked", code=1)).stdout
        assert "imports read journeys" in (await done("job", "check", "reports", code=1)).stdout
        assert "authorization wrong" in (await done("job", "check", "refused", code=1)).stdout
        assert simulator.controls.list_state(news) == before, "a check changes nothing"
        simulator.controls.add_field(news, "Lytics Audiences", "Text")
        assert "the list's field is Text" in (await done("job", "check", "good", code=1)).stdout


@pytest.mark.usefixtures("topics")
def test_no_audience_is_a_sentence_as_well(run: Run) -> None:
    assert "no event has named an audience yet" in run("export", "audiences").stdout


def test_a_profile_is_read_in_a_third_of_a_second(settings: KafkaSettings) -> None:
    """Its partition is read to the end, and no time-out is waited for: it took 31 s."""
    wide = settings.model_copy(update={"partitions": 12})
    ensure_topics(wide, create=True)
    topic = wide.names()["cm_profile"]
    people = [(b"person%d@example.com" % number, b'{"email": "x"}') for number in range(5_000)]
    produce(wide.bootstrap_servers, topic, people)
    seconds = []
    for key, value in people[:3]:
        began = time.monotonic()
        assert newest_profile(wide, key) == value
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.3, seconds


def started(settings: KafkaSettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a process of its own, which names on standard error what it imports."""
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "KAFKA_TOPIC_PREFIX": settings.topic_prefix}
    command = [sys.executable, "-X", "importtime", "-m", "streams.cli", *arguments]
    return subprocess.run(command, env=os.environ | kafka, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.usefixtures("topics")
def test_the_quick_way_shows_what_the_usual_one_shows(run: Run, settings: KafkaSettings) -> None:
    """It imports neither typer nor pydantic, which take longer than the profile takes to be read."""
    value = '{"email":"ann@example.com","city":"Gr\u00e4z"}'.encode()
    produce(settings.bootstrap_servers, settings.names()["cm_profile"], [(b"ann@example.com", value)])
    for options in ([], ["--json"]):
        quick = started(settings, "profile", "show", " Ann@Example.com", *options)
        assert (quick.returncode, quick.stdout) == (0, run("profile", "show", "ann@example.com", *options).stdout)
        assert not {"typer", "pydantic"} & {line.rpartition("|")[2].strip() for line in quick.stderr.splitlines()}
    nobody = started(settings, "profile", "show", "bob@example.com")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr.endswith(run("profile", "show", "bob@example.com", code=1).stderr)
