"""Each operation of the API's description that changes something leaves a record of who did it."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from connectors.control.audit import newest_changes
from connectors.control.crypto import ControlSettings, new_key
from connectors.control.jobs import Jobs
from connectors.kafka.producer import AsyncProducer
from schemas.control import AuditRecord, ImportJob
from schemas.export import BY_OTHERS, GENERATED
from streams.export.lists.attention import REMOVALS
from tests.deadline import eventually
from tests.integration.console.api import Program, program
from tests.integration.console.conftest import PASSWORD, ConsoleWorld
from tests.kafka_io import read_all

ANN = "ann@example.org"
ANY_VERSION = {"If-Match": "*"}
OTHER_PASSWORD = "another horse battery"
ACCESS, REFRESH = "an access token that is secret", "a refresh token that is secret"
TOPICS = ("cm_authorizations", "cm_console_users", "cm_audit", "cm_jobs", "cm_import_tasks")
"""Where changes of this test go, beside people's topics."""


class Change(NamedTuple):
    """A request that succeeds after those before it, and what is recorded of it: kind and action."""

    path: str
    recorded: tuple[str, str]
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012  (read only)


def changes(world: ConsoleWorld) -> dict[str, Change]:
    """Operation -> a request; in this order each finds what it needs."""
    account = {"authorization_id": "acme", "client_id": world.client_id}
    export = {"kind": "export", **account, "list_id": world.list_id}
    return {
        "create_token": Change("/tokens", ("token", "create"), {"description": "a script", "role": "viewer"}),
        "revoke_token": Change("/tokens/{token}", ("token", "remove")),
        "create_user": Change("/users", ("user", "create"), {"name": "vic", "role": "viewer", "password": PASSWORD}),
        "edit_user": Change("/users/vic", ("user", "edit"), {"role": "operator", "password": OTHER_PASSWORD}),
        "remove_user": Change("/users/vic", ("user", "remove")),
        "add_authorization": Change(
            "/authorizations",
            ("authorization", "create"),
            {"id": "acme", "description": "Acme", "api_key": world.simulator.api_key},
        ),
        "rename_authorization": Change("/authorizations/acme", ("authorization", "edit"), {"description": "Acme Inc."}),
        "create_job": Change("/jobs", ("job", "create"), {**export, "id": "e"}),
        "edit_job": Change("/jobs/e", ("job", "edit"), {"name": "new"}, ANY_VERSION),
        "replace_job": Change("/jobs/e", ("job", "edit"), {**export, "audiences": ["vip"]}, ANY_VERSION),
        "stop": Change("/jobs/e/stop", ("job", "stop")),
        "start": Change("/jobs/e/start", ("job", "start")),
        "repair_job": Change("/jobs/e/repair", ("job", "repair")),
        "confirm_job_removals": Change("/jobs/e/confirm-removals", ("job", "edit")),
        "reseal_authorizations": Change("/reseal", ("authorization", "edit")),
        "remove_job": Change("/jobs/e", ("job", "remove")),
        "read_again": Change("/jobs/i/read-again", ("job", "edit")),
        "run_import": Change("/jobs/i/run", ("job", "run")),
        "send_event": Change(
            "/events",
            ("person", "send event"),
            {"email": ANN, "at": "2026-01-02T10:00:00Z", "change": "snapshot", "audiences": []},
        ),
        "erase": Change(f"/people/{ANN}/erase", ("person", "erase"), {"confirm": ANN}),
        "replay_letters": Change("/dead-letters/cm_user/replay", ("dead letters", "replay"), {}),
        "discard_letters": Change(
            "/dead-letters/cm_user/discard", ("dead letters", "discard"), {"all": True, "why": "known"}
        ),
        "remove_authorization": Change("/authorizations/acme?force=true", ("authorization", "remove")),
    }


def changing_operations() -> dict[str, str]:
    """Name and method of each operation in the description that is no reading."""
    described = json.loads((GENERATED / BY_OTHERS).read_text(encoding="utf-8"))
    return {
        operation["operationId"]: method.upper()
        for path in described["paths"].values()
        for method, operation in path.items()
        if method in ("post", "put", "patch", "delete")
    }


async def recorded(world: ConsoleWorld, known: int) -> list[AuditRecord]:
    """What was recorded since there were so many records, the newest first."""
    found = await asyncio.to_thread(newest_changes, world.kafka, 1000)
    return [change.record for change in found[: len(found) - known]]


async def prepared(world: ConsoleWorld, name: str) -> None:
    """Bring about what an operation needs that none before it has."""
    async with AsyncProducer(world.kafka, "test") as producer, Jobs(world.kafka, producer) as jobs:
        if name == "read_again":
            await jobs.put(import_job(world))
        if name == "confirm_job_removals":
            await jobs.set_attention("export", "e", f"120 of 200 people would be removed. {REMOVALS}")
    if name == "reseal_authorizations":
        old, new = world.control.encryption_key, SecretStr(new_key())
        world.control = ControlSettings(_env_file=None, encryption_key=new, old_encryption_keys=old)
        await world.start()


async def shows(client: Program, path: str, text: str) -> bool:
    """Whether the console has read what another process wrote."""
    answer = await client.call("GET", path)
    return answer.status == 200 and text in json.dumps(answer.body)


def import_job(world: ConsoleWorld) -> ImportJob:
    now = datetime.now(UTC)
    return ImportJob(id="i", authorization_id="acme", client_id=world.client_id, created_at=now, updated_at=now)


async def test_each_change_is_recorded_and_no_topic_holds_a_secret(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.control.erasures.ERASE_SECONDS", 0.1)
    methods, wanted = changing_operations(), changes(world)
    assert wanted.keys() == methods.keys(), "each operation that is not GET is here"
    secrets = {world.simulator.api_key, PASSWORD, OTHER_PASSWORD, ACCESS, REFRESH}
    admin, made = await program(world, "admin"), ""
    tokens = {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 3600}
    given = {"id": "by-tokens", "description": "Tokens", "tokens": tokens}
    assert (await admin.call("POST", "/authorizations", given)).status == 201
    boss = {"name": "ann", "role": "admin", "password": PASSWORD}  # somebody has to stay admin
    assert (await admin.call("POST", "/users", boss)).status == 201
    known = len(await recorded(world, 0))
    for name, change in wanted.items():
        if name in ("read_again", "confirm_job_removals", "reseal_authorizations"):
            await prepared(world, name)
        if name in ("read_again", "confirm_job_removals"):
            job, text = change.path.split("/")[2], REMOVALS if name == "confirm_job_removals" else ""
            await eventually(partial(shows, admin, f"/jobs/{job}", text))
        if name == "reseal_authorizations":
            admin = await program(world, "admin")  # of the console that has the new key
        answer = await admin.call(methods[name], change.path.replace("{token}", made), change.body, **change.headers)
        assert answer.status < 300, (name, answer.body)
        if name == "create_token":
            made, secret = answer.body["id"], answer.body["token"].rpartition("_")[2]
            secrets.add(secret)
        found = await recorded(world, known)
        assert {(record.kind, record.action) for record in found} == {change.recorded}, name
        assert {(record.via, record.who[:6]) for record in found} == {("api", "token:")}, name
        known += len(found)
    records = [
        record
        for topic in TOPICS
        for record in await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, world.kafka.names()[topic])
    ]
    assert {record.topic for record in records} == {world.kafka.names()[topic] for topic in TOPICS}
    for secret in secrets:
        for form in (secret.encode(), base64.b64encode(secret.encode()).rstrip(b"="), secret.encode().hex().encode()):
            assert not [record.topic for record in records if form in (record.key or b"") + (record.value or b"")], form
