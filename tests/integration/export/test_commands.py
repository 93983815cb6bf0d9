"""`cm-streams export plan` and `reconcile`, against the real broker and a worker's real table."""

import asyncio
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer, new_key
from connectors.kafka.producer import AsyncProducer
from streams.cli.export import app
from tests.integration.export.test_slice import at_rest, until


@pytest.fixture
async def authorized(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The world with a stored authorization, and an environment that names all of it."""
    key = new_key()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", world.kafka.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", world.kafka.topic_prefix)
    monkeypatch.setenv("CM_BASE_URL", world.simulator.base_url)
    monkeypatch.setenv("CONTROL_ENCRYPTION_KEY", key)
    sealer = Sealer.from_settings(ControlSettings(encryption_key=SecretStr(key)))
    async with (
        AsyncProducer(world.kafka, "test") as producer,
        Authorizations(world.kafka, producer, sealer) as authorizations,
    ):
        await authorizations.put("auth-1", SecretStr(world.simulator.api_key))
    return world


async def run(*arguments: str) -> Any:
    """Run a command in a thread, as a person would beside the worker."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_a_plan_says_what_would_happen_and_a_reconciliation_finds_and_mends_drift(authorized: Any) -> None:
    world = authorized
    world.job(state="stopped", existing_users=True)
    for name in ("ann", "bob", "cem"):
        world.change(f"{name}@example.com", "enter", "vip", 1)
    world.producer.flush()
    async with world.worker() as worker:
        await at_rest(worker)
        result = await run("audiences", "--json")
        assert orjson.loads(result.stdout) == {"audience": "vip", "name": "VIP", "people": 3}
        result = await run("plan", "job-1", "--json")
        assert result.exit_code == 0, result.output
        found = orjson.loads(result.stdout)
        assert (found["adds"], found["calls"], found["added_billable_contacts"]) == (3, 3, 3)
        assert found["fields_missing"] == ["Lytics Audiences"]
        assert found["segments_missing"] == ["VIP"]

        world.job(existing_users=True)
        await until(lambda: world.simulator.controls.subscriber(world.list_id, "cem@example.com"))
        await at_rest(worker)
        result = await run("plan", "job-1")
        assert result.stdout.startswith("nothing to do"), result.output

        world.simulator.controls.edit_profile(world.list_id, "ann@example.com", fields={"Lytics Audiences": ""})
        result = await run("reconcile", "job-1")
        assert result.exit_code == 1, result.output
        assert "different: ann@example.com" in result.stdout
        result = await run("reconcile", "job-1", "--repair")
        assert result.exit_code == 0, result.output
        await until(lambda: world.simulator.controls.subscriber(world.list_id, "ann@example.com")["CustomFields"])
        await at_rest(worker)
        result = await run("reconcile", "job-1")
        assert result.exit_code == 0, result.output


async def test_that_nothing_can_be_said_is_not_that_nothing_is_to_do(authorized: Any) -> None:
    authorized.job()
    authorized.simulator.controls.answer_credential(authorized.simulator.api_key, 100)
    result = await run("plan", "job-1")
    assert result.exit_code == 3
    assert "cannot preview" in result.output
