"""The API: edits that somebody else's edit refuses, plans and runs, dead letters, lag."""

import asyncio

import pytest

from connectors.kafka.lag import LagReader
from connectors.kafka.producer import AsyncProducer
from schemas.dead_letter import AT, OFFSET, PARTITION, REASON, STAGE, TOPIC
from streams.console.live import collector
from tests.deadline import eventually
from tests.integration.console.api import program
from tests.integration.console.conftest import ConsoleWorld
from tests.integration.console.test_api import ready
from tests.integration.console.test_live_pages import commit
from tests.kafka_io import read_all


async def test_an_edit_needs_the_version_that_was_read(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    made = await admin.call("POST", "/jobs", {**export, "id": "mine", "audiences": ["vip"], "name_field": "full_name"})
    first = made.headers["ETag"]
    assert (await admin.call("GET", "/jobs/mine")).headers["ETag"] == first
    assert (await admin.call("PATCH", "/jobs/mine", {"name": "x"})).status == 428
    edited = await admin.call(
        "PATCH", "/jobs/mine", {"audiences": ["other"], "name_field": None}, **{"If-Match": first}
    )
    assert edited.status == 200, edited.body
    job = edited.body["job"]
    assert (job["audiences"], job["name_field"]) == (["other"], "name")
    assert "stays on the list" in edited.body["consequences"][0]
    second = edited.headers["ETag"]
    assert second != first
    for method, path, body in (
        ("PATCH", "/jobs/mine", {"name": "x"}),
        ("POST", "/jobs/mine/stop", None),
        ("DELETE", "/jobs/mine", None),
    ):
        stale = await admin.call(method, path, body, **{"If-Match": first})
        assert (stale.status, stale.body["status"]) == (412, 412), path
    shown = await admin.call("GET", "/jobs/mine")
    assert (shown.headers["ETag"], shown.body["state"], shown.body["name"]) == (second, "running", "")
    for body, status in (
        ({"keep_updated": True}, 409),
        ({"list_id": None}, 422),
        ({"list_id": "0" * 32}, 409),
        ({"audience": []}, 422),
    ):
        assert (await admin.call("PATCH", "/jobs/mine", body, **{"If-Match": "*"})).status == status, body
    assert (await admin.call("POST", "/jobs/mine/stop", **{"If-Match": f'"other", {second}'})).status == 200


async def test_plans_comparisons_and_runs(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    account = {"authorization_id": "acme", "client_id": world.client_id}
    assert (await admin.call("POST", "/jobs", {**export, "id": "out"})).status == 201
    assert (await admin.call("POST", "/jobs", {"kind": "import", **account, "id": "in"})).status == 201
    plan = await admin.call("GET", "/jobs/out/plan")
    assert (plan.status, plan.body["adds"], plan.body["nothing_to_do"]) == (200, 0, True), plan.body
    assert (await admin.call("GET", "/jobs/out/drift")).body["drifted"] == 0
    assert (await admin.call("POST", "/jobs/out/repair")).body["sent_again"] == 0
    assert (await admin.call("POST", "/jobs/out/confirm-removals")).status == 409
    for path in ("/jobs/in/plan", "/jobs/in/drift", "/jobs/out/runs"):
        assert (await admin.call("GET", path)).status == 409, path
    assert (await admin.call("GET", "/jobs/in/runs")).body == {"items": []}
    assert (await admin.call("POST", "/jobs/in/run")).status == 204
    topic = world.kafka.names()["cm_import_tasks"]
    assert '"in"' in f"{await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, topic)}"
    assert (await admin.call("POST", "/jobs/in/read-again")).body["full_read"] == 1
    assert (await admin.call("GET", "/audiences")).body == {"items": []}


async def test_dead_letters_are_found_replayed_and_discarded(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    names = world.kafka.names()
    topic = names["cm_user"]
    async with AsyncProducer(world.kafka, "test") as producer:
        for number in range(3):
            headers = {STAGE: "schema", REASON: f"wrong {number}", TOPIC: topic, PARTITION: "0", OFFSET: f"{number}"}
            pairs = [(name, value.encode()) for name, value in {**headers, AT: "2026-01-01T00:00:00Z"}.items()]
            await producer.publish(names.dead_letters(topic), b"key", b"value", headers=pairs)
    listed = await admin.call("GET", "/dead-letters/cm_user?limit=2")
    assert (listed.body["total"], [letter["reason"] for letter in listed.body["items"]]) == (3, ["wrong 0", "wrong 1"])
    rest = await admin.call("GET", f"/dead-letters/cm_user?limit=2&cursor={listed.body['next']}")
    assert ([letter["reason"] for letter in rest.body["items"]], rest.body["next"]) == (["wrong 2"], "")
    shown = await admin.call("GET", "/dead-letters/cm_user/0:1")
    assert (shown.body["key"], shown.body["value"], shown.body["stage"]) == ("key", "value", "schema")
    for place in ("0:9", "first"):
        assert (await admin.call("GET", f"/dead-letters/cm_user/{place}")).status == 404
    assert (await admin.call("GET", "/dead-letters/nothing")).status == 404
    assert (await admin.call("POST", "/dead-letters/cm_user/discard", {})).status == 409
    again = await admin.call("POST", "/dead-letters/cm_user/replay", {"places": ["0:1"]})
    assert again.body == {"sent": 1, "passed_over": 0}
    found = await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, topic, at_least=1)
    assert len(found) == 1
    assert (await admin.call("POST", "/dead-letters/cm_user/discard", {"reason": "wrong 0"})).body == {"discarded": 1}
    counts = await admin.call("GET", "/dead-letters")
    assert [(count["topic"], count["reason"], count["letters"]) for count in counts.body["items"]] == [
        (topic, "wrong 2", 1)
    ]
    topics = await admin.call("GET", "/topics")
    assert [found["problems"] for found in topics.body["items"] if found["topic"] == topic] == [[]]


async def test_lag_is_read_once_for_all_who_ask(world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster with hundreds of groups opening a reader takes longer than an answer may."""
    admin = await program(world, "admin")
    topic, group = world.kafka.names()["audience-membership"], world.kafka.topic_prefix + "worker"
    for number in range(5):
        world.producer.produce(topic, b"%d" % number, b"ann@example.org")
    await asyncio.to_thread(world.producer.flush)
    await commit(world, group, 2)
    asked = f"/lag?topic={topic}&group={group}"

    async def is_read() -> bool:
        return (await admin.call("GET", asked)).body.get("lag") == 3

    monkeypatch.setattr(collector, "READ_SECONDS", 0.3)
    await eventually(is_read)
    opened: list[object] = []
    begin = LagReader.__init__
    monkeypatch.setattr(
        LagReader, "__init__", lambda self, *of, **how: (opened.append(self), begin(self, *of, **how))[1]
    )
    answers = await asyncio.gather(*(admin.call("GET", asked) for _ in range(20)))
    assert {(answer.status, answer.body["lag"], len(answer.body["partitions"])) for answer in answers} == {(200, 3, 1)}
    assert (await admin.call("GET", f"/lag?topic={topic}&group=no")).body["partitions"] == []
    assert not opened
