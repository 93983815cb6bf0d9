"""The API about one person, about users, and about who changed what; and a job's options replaced."""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.control.audit import newest_changes
from tests.deadline import eventually
from tests.integration.console.api import Program, program, token
from tests.integration.console.conftest import PASSWORD, ConsoleWorld
from tests.integration.console.test_api import ready
from tests.kafka_io import read_all

ANN = "ann@example.org"
OPEN = {
    "schema_version": 1,
    "event_id": "e1",
    "type": "open",
    "email": ANN,
    "at": "2026-01-02T10:00:00Z",
    "city": "Ulm",
}


async def everything(caller: Program, path: str) -> list[Any]:
    """All items, two a page."""
    items, cursor = [], ""
    while True:
        page = await caller.call("GET", f"{path}limit=2&cursor={cursor}")
        assert page.status == 200, page.body
        items += page.body["items"]
        cursor = page.body["next"]
        if not cursor:
            return items


async def test_a_person_is_shown_with_the_events_behind_a_field_and_erased(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, operator = await program(world, "viewer"), await program(world, "operator")
    nobody = await viewer.call("GET", "/people/nobody@example.org")
    assert (nobody.status, nobody.body["profile"], nobody.body["events"]) == (200, None, [])
    names = world.kafka.names()
    world.producer.produce(names["cm_profile"], orjson.dumps({"email": ANN, "city": "Ulm"}), ANN.encode())
    world.producer.produce(names["cm_activity"], orjson.dumps(OPEN), ANN.encode())
    world.producer.flush()
    world.receipt("out", ANN, "added", None)
    found = await viewer.call("GET", "/people/Ann@Example.org")
    assert (found.status, found.body["email"], found.body["profile"]["city"]) == (200, ANN, "Ulm")
    assert [event["message"]["event_id"] for event in found.body["events"]] == ["e1"]
    assert [receipt["job_id"] for receipt in found.body["receipts"]] == ["out"]
    field = await viewer.call("GET", f"/people/{ANN}/fields/city")
    assert (field.status, field.body.get("value")) == (200, "Ulm"), field.body
    assert [(event["stream"], event["value"]) for event in field.body["events"]] == [("cm_activity", '"Ulm"')]
    assert field.body["mappings"]
    assert (await viewer.call("GET", f"/people/{ANN}/fields/nothing")).status == 404
    assert (await viewer.call("GET", "/people/ann/fields/city")).status == 422

    for body in ({"confirm": "other@example.org"}, {"confirm": ANN, "lists": [world.list_id]}):
        assert (await operator.call("POST", f"/people/{ANN}/erase", body)).status == 409, body
    moves = names["cm_profile_moves"]
    assert await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, moves) == []
    monkeypatch.setattr("streams.control.erasures.ERASE_SECONDS", 0.2)
    done = await operator.call("POST", f"/people/{ANN}/erase", {"confirm": "Ann@example.org"})
    assert done.body == {"outcome": "stored", "deleted_from": [], "receipt": None}, "no worker runs"
    assert len(await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, moves)) == 1


async def test_an_event_is_published_under_the_person_s_key(world: ConsoleWorld) -> None:
    operator = await program(world, "operator")
    event = {"email": "Ann@Example.org", "at": "2026-01-02T10:00:00Z", "change": "enter"}
    sent = await operator.call("POST", "/events", {**event, "audience": {"id": "vip", "name": "VIP"}})
    topic = world.kafka.names()["audience-membership"]
    assert (sent.status, sent.body) == (201, {"topic": topic, "partition": 0, "offset": 0})
    (record,) = await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, topic)
    assert (record.key, orjson.loads(record.value or b"")["audience"]["id"]) == (ANN.encode(), "vip")
    snapshot = {**event, "change": "snapshot", "audiences": []}
    for wrong in (
        event,
        {**snapshot, "email": "nobody"},
        {**snapshot, "audience": "vip"},
        {**snapshot, "user": {"points": 2**70}},
        {**snapshot, "at": "0001-01-01T00:00:00+14:00"},
    ):
        assert (await operator.call("POST", "/events", wrong)).status == 422, wrong
    assert len(await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, topic)) == 1


async def test_receipts_are_found_by_person_and_job_a_page_at_a_time(world: ConsoleWorld) -> None:
    viewer = await program(world, "viewer")
    for number in range(5):
        world.receipt("out" if number % 2 else "other", f"p{number % 3}@example.org", "added", None)
    world.receipt("out", ANN, "refused", "bounced")
    emails = [receipt["email"] for receipt in await everything(viewer, "/receipts?")]
    assert emails == [ANN, *(f"p{number % 3}@example.org" for number in reversed(range(5)))]
    for path, count in (
        ("/receipts?job=out&", 3),
        ("/receipts?email=P0@example.org&", 2),
        ("/receipts?email=p0@example.org&job=other&", 1),
        ("/receipts?outcome=refused&reason=bounced&", 1),
        ("/receipts?outcome=added&reason=bounced&", 0),
        ("/receipts?job=nothing&", 0),
    ):
        assert len(await everything(viewer, path)) == count, path
    for path in ("?email=nobody", "?outcome=lost", "?cursor=W10", "?cursor=WzEsMiwidGhyZWUiXQ"):
        assert (await viewer.call("GET", f"/receipts{path}")).status == 400, path


async def test_users_are_added_changed_and_removed_and_the_last_admin_stays(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    await world.admin()
    new = {"name": "vic", "role": "viewer", "password": PASSWORD}
    made = await admin.call("POST", "/users", new)
    assert (made.status, made.headers["Location"], made.body["role"]) == (201, "/api/v1/users/vic", "viewer")
    assert (await admin.call("POST", "/users", new)).status == 409
    for wrong in ({**new, "name": "No Name"}, {**new, "name": "bob", "password": "short"}, {**new, "role": "god"}):
        assert (await admin.call("POST", "/users", wrong)).status == 422, wrong
    assert [user["name"] for user in await everything(admin, "/users?")] == ["ann", "vic"]
    browser = await world.browser()
    await browser.log_in("vic", PASSWORD)
    assert browser.page.heading == "Jobs"
    assert (await admin.call("PATCH", "/users/vic", {"role": "operator"})).body["role"] == "operator"
    assert (await admin.call("PATCH", "/users/vic", {"password": PASSWORD + " 2"})).body["role"] == "operator"
    await browser.open("/jobs")
    assert browser.page.heading == "Log in", "another password ends the sessions"
    for method, path, status in (
        ("DELETE", "/users/ann", 409),
        ("DELETE", "/users/nobody", 404),
        ("DELETE", "/users/vic", 204),
    ):
        assert (await admin.call(method, path)).status == status, path
    assert (await admin.call("PATCH", "/users/ann", {"role": "viewer"})).status == 409


async def test_a_job_is_replaced_whole_and_only_as_it_was_read(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    made = await admin.call("POST", "/jobs", {**export, "id": "mine", "audiences": ["vip"], "name": "x"})
    etag = made.headers["ETag"]
    assert (await admin.call("PUT", "/jobs/mine", export)).status == 428
    for body, status in (
        ({**export, "id": "other"}, 409),
        ({**export, "stopped": True}, 409),
        ({**export, "list_id": "0" * 32}, 409),
        ({"kind": "import", "authorization_id": "acme", "client_id": world.client_id}, 409),
    ):
        assert (await admin.call("PUT", "/jobs/mine", body, **{"If-Match": etag})).status == status, body
    replaced = await admin.call("PUT", "/jobs/mine", {**export, "on_last_exit": "delete"}, **{"If-Match": etag})
    job = replaced.body["job"]
    assert (replaced.status, job["audiences"], job["name"], job["on_last_exit"]) == (200, [], "", "delete")
    assert (job["started_at"], job["state"]) == (made.body["started_at"], "running")
    assert (await admin.call("PUT", "/jobs/mine", export, **{"If-Match": etag})).status == 412


async def test_progress_estimate_and_throughput_are_those_of_their_kind_of_job(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    account = {"authorization_id": "acme", "client_id": world.client_id}
    await admin.call("POST", "/jobs", {**export, "id": "out"})
    await admin.call("POST", "/jobs", {"kind": "import", **account, "id": "in"})
    assert (await admin.call("GET", "/jobs/in/progress")).status == 404
    run = {"kind": "run", "job_id": "in", "run": 1, "state": "open"}
    run |= {"planned_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z"}
    world.producer.produce(world.kafka.names()["cm_import_progress"], orjson.dumps(run), b"run:in")
    world.producer.flush()

    async def is_shown() -> bool:
        return (await admin.call("GET", "/jobs/in/progress")).status == 200

    await eventually(is_shown)
    progress = (await admin.call("GET", "/jobs/in/progress")).body
    assert (progress["run"]["run"], progress["rows"], progress["rows_per_second"]) == (1, 0, 0.0)
    estimate = await admin.call("GET", "/jobs/in/estimate")
    assert (estimate.status, estimate.body["rows"]["subscribers"]) == (200, 0), estimate.body
    assert estimate.body["calls"] > 0
    world.receipt("out", ANN, "added", None)
    through = await admin.call("GET", "/jobs/out/throughput?minutes=5&slots=5")
    assert [slot["receipts"] for slot in through.body["slots"]] == [0, 0, 0, 0, 1]
    assert through.body["slots"][-1]["median_ms"] == 40
    for path in ("/jobs/out/progress", "/jobs/out/estimate", "/jobs/in/throughput"):
        assert (await admin.call("GET", path)).status == 409, path


async def test_what_the_api_changes_is_recorded_and_found(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    made = await admin.call("POST", "/tokens", {"description": "a script", "role": "viewer"})
    await admin.call("DELETE", f"/tokens/{made.body['id']}")
    new = {"name": "vic", "role": "viewer", "password": PASSWORD}
    await admin.call("POST", "/users", new)
    await admin.call("POST", "/dead-letters/cm_user/replay", {})
    await admin.call("POST", "/dead-letters/cm_user/discard", {"all": True, "why": "of ann@example.org"})
    event = {"email": ANN, "at": "2026-01-02T10:00:00Z", "change": "snapshot", "audiences": []}
    assert (await admin.call("POST", "/events", event)).status == 201
    found = await everything(admin, "/audit?")
    topic = world.kafka.names()["cm_user"]
    wanted = [
        ("person", "send event"),
        ("dead letters", "discard"),
        ("dead letters", "replay"),
        ("user", "create"),
        ("token", "remove"),
        ("token", "create"),
    ]
    assert [(change["kind"], change["action"]) for change in found] == wanted
    assert {change["via"] for change in found} == {"api"}
    assert found[1]["id"] == topic
    assert [change["after"] for change in found[1]["changes"]] == ['"of (address)"']
    text = str(found)
    assert made.body["token"].rpartition("_")[2] not in text
    assert PASSWORD not in text
    assert ANN not in text
    assert len(await everything(admin, f"/audit?kind=token&id={made.body['id']}&")) == 2
    assert await everything(admin, "/audit?who=nobody&") == []
    assert len(await asyncio.to_thread(newest_changes, world.kafka, 2)) == 2


async def test_changes_are_refused_up_front_while_no_broker_answers(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await program(world, "admin")
    monkeypatch.setattr("streams.console.reads.Reads.problem", "no broker answers")
    refused = await admin.call("POST", "/tokens", {"description": "a script", "role": "viewer"})
    assert (refused.status, "Nothing was changed" in refused.body["detail"]) == (503, True)
    assert (await admin.call("GET", "/me")).status == 200


async def test_the_examples_of_the_document_work(world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.control.erasures.ERASE_SECONDS", 0.2)
    admin = await program(world, "admin")
    assert (await admin.call("POST", "/jobs", {**await ready(world, admin), "id": "export-0a1b2c3d"})).status == 201
    text = (Path(__file__).parents[3] / "docs/api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    commands = [
        re.sub(r"  +# .*", "", command).replace('If-Match: "91f0..."', "If-Match: *").strip()
        for block in blocks
        for command in re.split(r"^(?=curl |[A-Z]+=)", block, flags=re.MULTILINE)
        if command.startswith("curl ")
    ]
    assert len(commands) >= 8
    setting = {**os.environ, "TOKEN": await token(world, "admin"), "API": f"{world.address}api/v1"}
    for command in commands:
        written = f"{command} -o /dev/null -w '%{{http_code}}'"
        shell = ["bash", "-c", written]
        ran = await asyncio.to_thread(subprocess.run, shell, env=setting, capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout[:1]) == (0, "2"), (command, ran.stdout, ran.stderr)
