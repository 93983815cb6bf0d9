"""`cm-streams erase`: the profile, the export's row and, when asked, the subscriber at Campaign Monitor."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from connectors import logs
from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer, new_key
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from schemas.identity import digest_of
from streams.cli.verbs import cli
from tests.integration.profile.test_aggregator import activity


@pytest.fixture
async def account(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulated account with Ann on a list, its authorization stored, and an environment that names both."""
    world.make("cm_authorizations", {"cleanup.policy": "compact"})
    world.make("cm_jobs", {"cleanup.policy": "compact"})
    world.make("cm_audit", {"cleanup.policy": "delete"})
    key = new_key()
    async with Simulator(SimulatorSettings()) as simulator:
        for name, value in {
            "KAFKA_BOOTSTRAP_SERVERS": world.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": world.namespace,
            "KAFKA_PARTITIONS": "4",
            "CM_BASE_URL": simulator.base_url,
            "CONTROL_ENCRYPTION_KEY": key,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(logs, "configure", lambda *_args, **_kwargs: None)
        sealer = Sealer.from_settings(ControlSettings(encryption_key=SecretStr(key)))
        async with (
            AsyncProducer(world.kafka, "test") as producer,
            Authorizations(world.kafka, producer, sealer) as them,
        ):
            await them.put("auth-1", SecretStr(simulator.api_key))
        client = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        simulator.list_id = simulator.controls.add_list(client, "Newsletter")
        simulator.other_list = simulator.controls.add_list(client, "Other")
        for list_id in (simulator.list_id, simulator.other_list):
            simulator.controls.seed_subscribers(list_id, 2, all_active=True)
        simulator.ann = simulator.controls.subscribers(simulator.list_id)[0]["EmailAddress"].lower()
        yield simulator


async def run(*arguments: str) -> Any:
    """Run a command in a thread, as a person would beside the worker."""
    return await asyncio.to_thread(CliRunner().invoke, cli, list(arguments))


async def test_the_person_is_gone_from_profiles_export_and_the_lists_that_are_named(world: Any, account: Any) -> None:
    ann = account.ann
    async with world.running() as worker:
        await world.publish("cm_activity", activity(ann, 1), activity("bob@x.com", 2))
        await worker.app.settled()
        lists = ("--from-list", account.list_id, "--authorization", "auth-1")
        result = await run("erase", f"Ann <{ann.upper()}>", *lists)
        assert result.exit_code == 0, result.output
        again = await run("erase", ann, *lists)
        assert again.exit_code == 0, again.output
        await worker.app.settled()
        commands = await world.records("cm_membership-commands")
        assert set(await world.profiles()) == {"bob@x.com"}

    receipt = json.loads(result.stdout.strip().splitlines()[-1])
    assert (receipt["outcome"], receipt["email_sha256"]) == ("erased", digest_of(ann))
    assert account.controls.subscriber(account.list_id, ann)["State"] == "Deleted"
    assert account.controls.list_state(account.other_list)["Active"] == 2
    assert [(record.key, json.loads(record.value)["do"]) for record in commands] == [(ann.encode(), "erase")] * 2


async def test_nothing_is_erased_when_the_list_cannot_be_reached(world: Any, account: Any) -> None:
    ann = account.ann
    async with world.running() as worker:
        await world.publish("cm_activity", activity(ann, 1))
        await worker.app.settled()
        account.controls.answer_credential(account.api_key, 100)
        refused = await run("erase", ann, "--from-list", account.list_id, "--authorization", "auth-1")
        assert refused.exit_code != 0
        assert account.list_id in refused.output
        unknown = await run("erase", ann, "--from-list", account.list_id, "--authorization", "nobody")
        assert unknown.exit_code != 0
        without = await run("erase", ann, "--from-list", account.list_id)
        assert "--authorization" in without.output
        assert set(await world.profiles()) == {ann}
    assert account.controls.subscriber(account.list_id, ann)["State"] == "Active"
