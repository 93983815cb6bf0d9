"""The commands of the control plane and of the broker's edge, against a real broker."""

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from click.testing import Result
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from connectors import logs
from connectors.control.crypto import new_key
from connectors.control.jobs import Jobs
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas import dead_letter
from schemas.control import ExportJob, FieldMapping, ImportJob
from schemas.topics import TOPICS
from streams.cli.verbs import cli
from streams.export.lists.attention import REMOVALS
from tests.deadline import within
from tests.kafka_io import create_topic, produce, read_all

CANARY = "canary-key-of-campaign-monitor"

Run = Callable[..., Result]


@pytest.fixture
def settings(bootstrap_servers: str, namespace: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=2)


@pytest.fixture
def run(settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with the broker's settings in its environment."""
    monkeypatch.setattr(logs, "configure", lambda *_args, **_kwargs: None)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.topic_prefix,
        "KAFKA_PARTITIONS": "2",
        "KAFKA_CLIENT_ID": settings.topic_prefix + "cli",
        "CONTROL_ENCRYPTION_KEY": new_key(),
        "COLUMNS": "250",
    }

    def invoke(*arguments: str, code: int = 0, given: str = "", **more: str) -> Result:
        result = CliRunner().invoke(cli, list(arguments), env={**environment, **more}, input=given)
        assert result.exit_code == code, result.output
        assert CANARY not in result.output
        return result

    return invoke


@pytest.fixture
def topics(settings: KafkaSettings) -> None:
    ensure_topics(settings, create=True)


def shown(result: Result) -> dict[str, object]:
    """The object after the lines of the log."""
    body: dict[str, object] = json.loads(result.stdout[result.stdout.index("{\n") :])
    return body


def last_line(result: Result) -> str:
    return result.stdout.strip().splitlines()[-1]


def test_check_topics_refuses_creates_and_is_content(run: Run) -> None:
    refused = run("check-topics", code=78)
    assert refused.stderr.count("is missing; create it with `cm-streams check-topics --create`") == len(TOPICS)
    assert run("check-topics", "--create").stdout.count("│ created │") == len(TOPICS)
    objects = [json.loads(line) for line in run("check-topics", "--json").stdout.splitlines() if line[0] == "{"]
    assert len(objects) == len(TOPICS)
    assert not any(row["problems"] for row in objects)


def test_a_wrong_topic_is_exit_code_78_with_a_sentence(run: Run, settings: KafkaSettings) -> None:
    name = create_topic(settings.bootstrap_servers, settings.names()["cm_profile"], 2, {"max.message.bytes": "2000000"})
    refused = run("check-topics", "--create", code=78)
    assert refused.stderr.startswith(f"Topic {name} has cleanup.policy=delete and compact is wanted")


@pytest.mark.usefixtures("topics")
def test_a_topic_that_a_command_writes_to_and_that_is_missing_is_named_at_once(
    run: Run, settings: KafkaSettings, kafka_admin: AdminClient
) -> None:
    """As in a deployment that is older than the topic: a command waited twenty seconds, and named no way out."""
    send = ["send-event", "--email", "ann@example.com", "--enter", "vip"]
    erase, add = ["erase", "ann@example.com"], ["auth", "add", "--id", "acme"]
    recorded = (send, erase, add, ["token", "create", "ci"], ["stores", "discard", "profiles"])
    for role, commands in (("audience-membership", [send]), ("cm_profile_moves", [erase]), ("cm_audit", recorded)):
        name = settings.names()[role]
        kafka_admin.delete_topics([name])[name].result(10)
        within(10, lambda name=name: name not in kafka_admin.list_topics(timeout=10).topics)
        for command in commands:
            began = time.monotonic()
            refused = run(*command, code=78, CAMPAIGN_MONITOR_API_KEY=CANARY)
            assert refused.stderr == f"Topic {name} is missing; create it with `cm-streams check-topics --create`.\n"
            assert time.monotonic() - began < 10
        assert name not in kafka_admin.list_topics(timeout=10).topics, "no command creates it with a broker's defaults"


def test_without_a_broker_the_setting_is_named(run: Run) -> None:
    refused = run("lag", code=78, KAFKA_BOOTSTRAP_SERVERS="")
    assert refused.stderr.startswith("KAFKA_BOOTSTRAP_SERVERS is not set")


@pytest.mark.usefixtures("topics")
def test_standard_output_holds_the_answer_and_nothing_else(settings: KafkaSettings) -> None:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.topic_prefix,
        "CONTROL_ENCRYPTION_KEY": new_key(),
        "CAMPAIGN_MONITOR_API_KEY": CANARY,
    }
    command = [sys.executable, "-m", "streams.cli", "auth", "add", "--id", "acme"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("acme\n", 0), done.stderr
    assert CANARY not in done.stderr


@pytest.mark.usefixtures("topics")
def test_authorizations_are_added_listed_and_removed(run: Run) -> None:
    made_up = last_line(run("auth", "add", "--description", "Acme Inc.", CAMPAIGN_MONITOR_API_KEY=CANARY))
    assert made_up.startswith("acme-inc-")
    assert last_line(run("auth", "add", "--id", "typed", given=CANARY + "\n")) == "typed"
    tokens = json.dumps({"access_token": CANARY, "refresh_token": CANARY, "expires_in": 1000})
    assert last_line(run("auth", "add", "--id", "oauth", "--tokens", "-", given=tokens)) == "oauth"
    listed = [json.loads(line) for line in run("auth", "list", "--json").stdout.splitlines() if line[0] == "{"]
    assert {row["id"]: row["kind"] for row in listed} == {made_up: "api_key", "typed": "api_key", "oauth": "oauth"}
    assert "sealed" not in listed[0]
    assert "Acme Inc." in run("auth", "list").stdout
    run("auth", "remove", "typed")
    assert "There is no authorization typed" in run("auth", "remove", "typed", code=1).stderr


@pytest.mark.usefixtures("topics")
def test_authorizations_need_a_key_and_sound_tokens(run: Run) -> None:
    assert "CONTROL_ENCRYPTION_KEY is not set" in run("auth", "add", code=78, CONTROL_ENCRYPTION_KEY="").stderr
    refused = run("auth", "add", "--tokens", "-", given='{"access_token": "x"}', code=1)
    assert "does not hold access_token, refresh_token and expires_in" in refused.stderr
    assert len(last_line(run("auth", "new-key"))) == 44


@pytest.mark.usefixtures("topics")
def test_keys_are_rotated_by_command(run: Run) -> None:
    old, new = new_key(), new_key()
    run("auth", "add", "--id", "acme", given=CANARY + "\n", CONTROL_ENCRYPTION_KEY=old)
    assert "Authorization acme was sealed with the key" in run("auth", "reseal", code=78).stderr
    renewed = run("auth", "reseal", CONTROL_ENCRYPTION_KEY=new, CONTROL_OLD_ENCRYPTION_KEYS=old)
    assert last_line(renewed) == "acme"


@pytest.mark.usefixtures("topics")
def test_every_option_of_an_export_reaches_the_job(run: Run) -> None:
    run("auth", "add", "--id", "acme", given=CANARY + "\n")
    begun = datetime.now(UTC)
    run(
        *("job", "create-export", "--id", "e1", "--name", "VIPs", "--authorization", "acme", "--client", "c1"),
        "--no-check",
        *("--list", "l1", "--audience", "vip", "--audience", "Win back", "--existing-users", "--resubscribe-users"),
        *("--queue-autoresponders", "--restart-autoresponders", "--email-field", "work", "--name-field", "full"),
        *("--field", "city=City", "--field", "points=Points:Number", "--field", "x=A: B", "--consent-to-track", "Yes"),
        *("--custom-field-name", "Groups", "--segment-name", "In {audience}", "--on-last-exit", "unsubscribe"),
        *("--update-only", "--consent-field", "agreed", "--removal-guard", "0.5", "--stopped"),
    )
    shown = ExportJob.model_validate_json(run("job", "show", "e1").stdout[run("job", "show", "e1").stdout.index("{") :])
    assert shown.model_dump(exclude={"created_at", "updated_at", "started_at"}) == {
        "id": "e1",
        "name": "VIPs",
        "authorization_id": "acme",
        "client_id": "c1",
        "state": "stopped",
        "attention": None,
        "kind": "export",
        "list_id": "l1",
        "audiences": ["vip", "Win back"],
        "existing_users": True,
        "resubscribe_users": True,
        "queue_autoresponders": True,
        "restart_autoresponders": True,
        "email_field": "work",
        "name_field": "full",
        "field_mappings": [
            FieldMapping(user_field="city", custom_field="City").model_dump(),
            FieldMapping(user_field="points", custom_field="Points", data_type="Number").model_dump(),
            FieldMapping(user_field="x", custom_field="A: B").model_dump(),
        ],
        "consent_to_track": "Yes",
        "custom_field_name": "Groups",
        "segment_name": "In {audience}",
        "on_last_exit": "unsubscribe",
        "update_only": True,
        "consent_rule": {"user_field": "agreed"},
        "removal_guard": 0.5,
        "removals_confirmed_at": None,
    }
    assert (shown.started_at - begun).total_seconds() > -1
    run("job", "start", "e1")
    started = ExportJob.model_validate_json(run("job", "list", "--json").stdout.strip().splitlines()[-1])
    assert started.state == "running"
    assert started.started_at > shown.started_at


@pytest.mark.usefixtures("topics")
def test_every_option_of_an_import_reaches_the_job(run: Run) -> None:
    run("auth", "add", "--id", "acme", given=CANARY + "\n")
    run(
        *("job", "create-import", "--id", "i1", "--name", "All", "--authorization", "acme", "--client", "c1"),
        *("--no-check", "--list", "l1", "--list", "l2", "--keep-updated", "--interval", "120", "--activity", "open"),
        *("--activity", "click", "--since", "2026-01-02", "--no-journeys"),
    )
    asked = last_line(run("job", "read-again", "i1"))
    assert asked == (
        "The full read of i1 begins at once, or when the run that is under way has ended. "
        "Nothing was read to its end yet, so nothing comes again."
    )
    job = ImportJob.model_validate_json(run("job", "list", "--json").stdout.strip().splitlines()[-1])
    assert (job.lists, job.keep_updated, job.interval_seconds) == (["l1", "l2"], True, 120)
    assert (job.activities, job.since, job.journeys) == (["open", "click"], datetime(2026, 1, 2, tzinfo=UTC), False)
    assert (job.state, job.full_read) == ("running", 1)
    run("job", "stop", "i1")
    assert last_line(run("job", "read-again", "i1")).startswith("The full read of i1 begins when the job is started.")
    removed = last_line(run("job", "remove", "i1"))
    assert removed.startswith(
        "Job i1 is removed; its reads end, and webhooks of lists that no other import has are removed."
    )


async def show_attention(settings: KafkaSettings, job_id: str, text: str) -> None:
    async with AsyncProducer(settings, "test") as producer, Jobs(settings, producer) as jobs:
        await jobs.set_attention("export", job_id, text)


@pytest.mark.usefixtures("topics")
def test_jobs_are_stopped_replaced_and_removed(run: Run, settings: KafkaSettings) -> None:
    run("auth", "add", "--id", "acme", given=CANARY + "\n")
    options = ("--authorization", "acme", "--client", "c1", "--list", "l1", "--no-check")
    form = ("job", "create-export", "--id", "e1", *options)
    run(*form, "--audience", "vip")
    first = ExportJob.model_validate_json(run("job", "list", "--json").stdout.strip().splitlines()[-1])
    assert "There is a job e1 already" in run(*form, code=1).stderr
    refused = run(*form, "--name", "renamed", "--replace", code=1).stderr
    assert 'audiences: ["vip"] -> []' in refused
    assert "use --yes, or `job edit e1`" in refused
    run(*form, "--name", "renamed", "--replace", "--yes")
    second = ExportJob.model_validate_json(run("job", "list", "--json").stdout.strip().splitlines()[-1])
    assert second.name == "renamed"
    assert (second.created_at, second.started_at) == (first.created_at, first.started_at)
    assert last_line(run("job", "stop", "e1")) == "Job e1 is stopped."
    assert last_line(run("job", "stop", "e1")) == "Job e1 is stopped already."
    assert last_line(run("job", "start", "e1")) == "Job e1 is started."
    run("job", "stop", "e1")
    assert "nothing was confirmed" in run("job", "confirm-removals", "e1", code=1).stderr
    counted = "120 of 200 people were removed within 1 h, and more wait."
    asyncio.run(show_attention(settings, "e1", f"{counted} {REMOVALS}"))
    confirmed = last_line(run("job", "confirm-removals", "e1"))
    assert confirmed == f"Confirmed: the removals of 0 people who wait on list l1 go on now. {counted}"
    assert "stopped" in run("job", "list").stdout
    assert "is used by e1" in run("auth", "remove", "acme", code=1).stderr
    assert last_line(run("job", "remove", "e1")) == "Job e1 is removed; what it did at Campaign Monitor stays."
    assert "There is no job e1" in run("job", "show", "e1", code=1).stderr
    run("auth", "remove", "acme")


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize(("typed", "code", "name"), [(b"y\n", 0, "renamed"), (b"n\n", 1, "first"), (b"\n", 1, "first")])
def test_at_a_terminal_a_replacement_asks(
    run: Run, settings: KafkaSettings, typed: bytes, code: int, name: str
) -> None:
    run("auth", "add", "--id", "acme", CAMPAIGN_MONITOR_API_KEY=CANARY)
    form = ["job", "create-export", "--authorization", "acme", "--client", "c1", "--list", "l1", "--id", "j"]
    run(*form, "--no-check", "--name", "first", "--resubscribe-users")
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.topic_prefix,
        "KAFKA_PARTITIONS": "2",
        "CONTROL_ENCRYPTION_KEY": new_key(),
    }
    command = [sys.executable, "-m", "streams.cli", *form, "--no-check", "--name", "renamed", "--replace"]
    terminal, end = pty.openpty()
    try:
        os.write(terminal, typed)
        done = subprocess.run(command, env=environment, stdin=end, capture_output=True, text=True, check=False)
    finally:
        os.close(end)
        os.close(terminal)
    assert "resubscribe_users: true -> false" in done.stderr, done.stderr
    assert "Replace the job? [y/N]:" in done.stderr
    assert done.returncode == code, done.stderr
    assert shown(run("job", "show", "j"))["name"] == name


@pytest.mark.usefixtures("topics")
def test_an_edit_changes_what_is_named_and_nothing_else(run: Run) -> None:
    def stored() -> dict[str, object]:
        return shown(run("job", "show", "e1"))

    run("auth", "add", "--id", "acme", given=CANARY + "\n")
    options = ("--authorization", "acme", "--client", "c1", "--list", "l1", "--no-check")
    run("job", "create-export", "--id", "e1", *options, "--audience", "vip", "--field", "city=City", "--update-only")
    before = stored()
    edited = run("job", "edit", "e1", "--name", "VIPs", "--no-update-only").stdout
    assert edited.endswith('--name: "" -> "VIPs"\n--update-only: true -> false\n')
    assert last_line(run("job", "edit", "e1", "--name", "VIPs")) == "Job e1 was like that already: nothing has changed."
    assert "Nothing is named that would change" in run("job", "edit", "e1", code=2).stderr
    after = stored()
    assert {name for name in after if after[name] != before[name]} == {"name", "update_only", "updated_at"}
    run("job", "edit", "e1", "--audience", "eu", "--audience", "us", "--clear", "field", "--no-check")
    cleared = stored()
    assert {name for name in cleared if cleared[name] != after[name]} == {"audiences", "field_mappings", "updated_at"}
    assert (cleared["audiences"], cleared["field_mappings"]) == (["eu", "us"], [])
    assert "no such option" in run("job", "edit", "e1", "--clear", "authorization", code=2).stderr
    assert "job start" in run("job", "edit", "e1", "--stopped", code=2).stderr
    assert "No such option" in run("job", "edit", "e1", "--journeys", code=2).output
    assert "There is no job e2" in run("job", "edit", "e2", "--name", "x", code=1).stderr
    run("job", "create-import", "--id", "i1", "--authorization", "acme", "--client", "c1", "--list", "l1", "--no-check")
    run("job", "edit", "i1", "--interval", "120", "--clear", "list", "--no-check")
    edited = shown(run("job", "show", "i1"))
    assert (edited["interval_seconds"], edited["lists"], edited["client_id"]) == (120, [], "c1")


@pytest.mark.usefixtures("topics")
async def test_a_job_is_compared_with_its_account(run: Run) -> None:
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme")
        news = simulator.controls.add_list(client, "News")
        simulator.controls.add_field(news, "City", "Number")
        account = {"CM_BASE_URL": simulator.base_url, "CM_OAUTH_URL": simulator.oauth_url}

        async def done(*arguments: str, code: int = 0, given: str = "") -> Result:
            return await asyncio.to_thread(run, *arguments, code=code, given=given, **account)

        await done("auth", "add", "--id", "acme", given=simulator.api_key + "\n")
        await done("auth", "add", "--id", "wrong", given=CANARY + "\n")
        form = ("job", "create-export", "--id", "e1", "--client", client, "--authorization")
        sentence = (await done(*form, "acme", "--list", "nowhere", code=1)).stderr
        assert f"--list nowhere: client {client} has no such list; it has {news} (News)" in sentence
        sentence = (await done(*form, "acme", "--list", news, "--field", "city=City", code=1)).stderr
        assert "--field city=City:Text: the list's field is Number; choose this type" in sentence
        assert "--no-check" in (await done(*form, "wrong", "--list", news, code=1)).stderr
        await done(*form, "acme", "--list", news, "--field", "city=City:Number", "--field", "x=New:Date")
        assert "is Number" in (await done("job", "edit", "e1", "--field", "city=City:Date", code=1)).stderr
        await done("job", "edit", "e1", "--field", "city=City:Date", "--no-check")


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--authorization", "nobody"), "There is no authorization nobody"),
        (("--field", "city"), "--field 'city' is not USER_FIELD=CUSTOM FIELD"),
        (("--consent-to-track", "Perhaps"), "--consent-to-track Perhaps: it should be 'Yes'"),
        (("--on-last-exit", "forget"), "--on-last-exit forget: it should be 'keep'"),
    ],
)
def test_a_wrong_option_is_a_sentence(run: Run, options: tuple[str, ...], sentence: str) -> None:
    form = ("job", "create-export", "--authorization", "acme", "--client", "c1", "--list", "l1", "--no-check")
    code = 1 if sentence.startswith("There") else 2
    assert sentence in run(*form, *options, code=code).stderr


@pytest.mark.usefixtures("topics")
def test_lag_as_table_and_as_json(run: Run, settings: KafkaSettings) -> None:
    topic, group = settings.names()["cm_user"], settings.topic_prefix + "g"
    produce(settings.bootstrap_servers, topic, [(b"k", b"v")] * 5, partition=1)
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 1, 2)], asynchronous=False)
    consumer.close()
    found = json.loads(last_line(run("lag", "--group", group, "--json")))
    assert found["lag"] == 3
    assert [(row["partition"], row["lag"]) for row in found["partitions"]] == [(0, 0), (1, 3)]
    table = run("lag", "--group", group).stdout
    assert topic in table
    assert "committed" in table


@pytest.mark.usefixtures("topics")
def test_dead_letters_are_listed_and_replayed(run: Run, settings: KafkaSettings) -> None:
    topic = settings.names()["cm_user"]
    origin = dead_letter.Origin(topic, 1, 7)
    letters = [
        dead_letter.letter(
            *record,
            [],
            reason="at: missing",
            stage=dead_letter.Stage.SCHEMA,
            origin=origin,
            at="2026-01-02T00:00:00.000Z",
            max_bytes=settings.max_produced_bytes,
        )
        for record in ((b"k", b"v"), (b"k2", b"\xff"))
    ]
    produce(settings.bootstrap_servers, topic + ".dlq", letters)
    objects = [json.loads(line) for line in run("dead-letters", "list", "cm_user", "--json").stdout.splitlines()]
    assert sorted(row["key"] for row in objects) == ["k", "k2"]
    assert objects[0]["reason"] == "at: missing"
    assert (objects[0]["topic"], objects[0]["partition"], objects[0]["offset"]) == (topic, 1, 7)
    assert "1 of 2" in run("dead-letters", "list", "cm_user", "--limit", "1").stdout
    assert run("dead-letters", "replay", "cm_user").stdout.startswith(f"2 sent to {topic} again")
    assert run("dead-letters", "replay", topic).stdout.startswith("0 sent")
    assert run("dead-letters", "list", "cm_user", "--json").stdout == ""
    values = {record.value for record in read_all(settings.bootstrap_servers, topic, at_least=2)}
    assert values == {b"v", b"\xff"}
    wrong = run("dead-letters", "list", "nothing", code=1).stderr
    assert "There is no dead-letter topic nothing.dlq; dead letters are kept of: " in wrong
    assert topic in wrong
    assert "check-topics" not in wrong
