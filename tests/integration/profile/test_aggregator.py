"""The aggregator on a real broker: what goes in, what comes out, and what is kept of the rest."""

import asyncio
import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from aiohttp import ClientSession

from tests.deadline import eventually
from tests.integration.profile.conftest import TOKEN

WORKED = json.loads(
    (Path(__file__).parents[2] / "unit" / "mapping" / "cases" / "worked_profile.json").read_text(encoding="utf-8")
)
SCHEMA = json.loads((Path("schemas") / "generated" / "cm_profile.schema.json").read_text(encoding="utf-8"))


def activity(email, number, event="open", **more):
    return {
        "event_id": f"{number:032x}",
        "at": f"2025-01-01T00:{number // 60:02d}:{number % 60:02d}Z",
        "event": event,
        "email": email,
        "source": "campaign",
        **more,
    }


async def test_the_worked_profile_byte_for_byte(world):
    async with world.running() as worker:
        for step in WORKED["messages"]:
            message = {"source": "campaign"} | step["message"] if step["stream"] == "cm_activity" else step["message"]
            await world.publish(step["stream"], message)
            await worker.app.settled()
        (newest,) = {record.key: record for record in await world.records("cm_profile")}.values()

    assert newest.key == b"ann.lee+vip@example.com"
    assert newest.value.decode() == json.dumps(WORKED["profile"], separators=(",", ":"), ensure_ascii=False)
    headers = dict(newest.headers)
    assert headers["profile.schema"] == b"1"
    assert headers["profile.mapping"].decode() == worker.catalog.version
    jsonschema.validate(json.loads(newest.value), SCHEMA)


async def test_nothing_is_counted_twice_and_nothing_written_when_nothing_changed(world):
    events = [activity("a@x.com", n) for n in range(5)]
    async with world.running() as worker:
        await world.publish("cm_activity", *events)
        await worker.app.settled()
        before = len(await world.records("cm_profile"))
        await world.publish("cm_activity", *events, *reversed(events))
        await worker.app.settled()
        after = len(await world.records("cm_profile"))
        profiles = await world.profiles()

    assert profiles["a@x.com"]["cm_openct"] == 5
    assert after == before
    assert worker.app.metrics.total("cm_streams_profiles_repeated_events_total") == 10
    folding = worker.app.metrics.total("cm_streams_profiles_fold_seconds_total")
    assert 0 < folding < worker.app.metrics.total("cm_streams_batches_processing_seconds_total")


async def test_what_cannot_be_used_is_kept_and_the_rest_goes_on(world):
    bad = [
        (b"{", "decode", "not JSON"),
        (b"[]", "schema", "no JSON object"),
        (None, "decode", "no value"),
        (json.dumps(activity("a@x.com", 1) | {"at": "yesterday"}).encode(), "schema", "at: "),
        (json.dumps(activity("a@x.com", 1) | {"campaign_id": 5}).encode(), "schema", "campaign_id: "),
        (json.dumps(activity("nobody", 1)).encode(), "identity", "no valid e-mail address"),
        (json.dumps(activity("a" * 300 + "@x.com", 1)).encode(), "identity", "the limit is 256"),
        (json.dumps(activity("a@x.com", 1) | {"name": "x" * 300_000}).encode(), "schema", "the limit is"),
    ]
    async with world.running() as worker:
        await world.publish("cm_activity", activity("a@x.com", 1))
        for value, _, _ in bad:
            await world.publish("cm_activity", value, key=b"a@x.com")
        await world.publish("cm_activity", activity("a@x.com", 2))
        await worker.app.settled()
        letters = await world.records("cm_activity.dlq")
        profiles = await world.profiles()

    assert profiles["a@x.com"]["cm_openct"] == 2
    assert [letter.value for letter in letters] == [value for value, _, _ in bad]
    for letter, (_, stage, reason) in zip(letters, bad, strict=True):
        headers = {name: content.decode() for name, content in letter.headers}
        assert headers["dlq.stage"] == stage
        assert reason in headers["dlq.reason"]
        assert headers["dlq.topic"] == f"{world.namespace}cm_activity"


async def test_records_under_a_wrong_key_reach_their_person(world):
    async with world.running() as worker:
        for number in range(8):
            await world.publish("cm_activity", activity("a@x.com", number), key=b"key-%d" % number)
        await worker.app.settled()
        await worker.app.settled()
        profiles = await eventually(lambda: counted(world, "a@x.com", 8))

    assert list(profiles) == ["a@x.com"]


async def counted(world, email, opens):
    profiles = await world.profiles()
    return profiles if profiles.get(email, {}).get("cm_openct") == opens else None


async def test_a_new_stream_is_a_new_file(world, tmp_path):
    stream = f"{world.namespace}shop"
    world.make("shop")
    world.make("shop.dlq")
    added = tmp_path / "added"
    added.mkdir()
    (added / "shop.lql").write_text(
        f'SELECT count(order_id) AS orders, set(sku) AS skus, max(total) AS biggest FROM "{stream}" INTO user '
        "BY email(buyer.mail)"
    )
    orders = [{"order_id": n, "sku": f"s{n % 2}", "total": f"{n}.50", "buyer": {"mail": "A@x.com"}} for n in range(3)]
    async with world.running(added_mapping_dir=added) as worker:
        await world.publish("shop", *orders, key=b"a@x.com")
        await world.publish("cm_activity", activity("a@x.com", 1))
        await worker.app.settled()
        profile = (await world.profiles())["a@x.com"]

    assert (profile["orders"], profile["skus"], profile["biggest"]) == (3, ["s0", "s1"], 2.5)
    assert list(profile)[-3:] == ["orders", "skus", "biggest"]


async def test_a_restart_on_the_same_and_on_an_empty_disk_gives_the_same(world):
    people = [f"p{n}@x.com" for n in range(20)]
    async with world.running() as worker:
        await world.publish("cm_activity", *(activity(who, n) for n, who in enumerate(people)))
        await worker.app.settled()
    for disk in ("w", "empty"):
        async with world.running(disk) as worker:
            await world.publish("cm_activity", *(activity(who, 100 + len(disk), "click") for who in people))
            await worker.app.settled()
    profiles = await world.profiles()

    assert [profiles[who]["cm_email_event"] for who in people] == [{"open": 1, "click": 2}] * 20


async def test_other_mappings_are_not_mixed_in(world, tmp_path, default_mappings):
    async with world.running() as worker:
        await world.publish("cm_activity", activity("a@x.com", 1))
        await worker.app.settled()
    for name in ("cm_user", "cm_activity"):
        text = (default_mappings / f"{name}.lql").read_text().replace('eq(event, "open")', 'eq(event, "click")')
        (tmp_path / f"{name}.lql").write_text(text)

    process = world.process("w", PROFILE_MAPPING_DIR=str(tmp_path))
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)

    assert process.returncode == 78, output.decode()
    assert b"cm-streams mapping rebuild" in output


async def test_changes_are_told(world):
    async with world.running(changes=True) as worker:
        await world.publish("cm_activity", activity("a@x.com", 1), activity("a@x.com", 2))
        await worker.app.settled()
        changes = [json.loads(record.value) for record in await world.records("cm_profile_changes")]

    opens = [change for change in changes if change["field"] == "cm_openct"]
    assert [(change.get("old"), change["new"], change["event_id"]) for change in opens] == [
        (None, 1, f"{1:032x}"),
        (1, 2, f"{2:032x}"),
    ]


@pytest.mark.parametrize("workers", [1, 2])
async def test_any_worker_answers_for_any_profile(world, workers):
    people = [f"p{n}@x.com" for n in range(12)]
    async with world.running("one") as first:
        second = world.worker("two") if workers == 2 else None
        if second:
            await second.start()
        try:
            if second:
                await eventually(lambda: len(first.table.owned()) == len(second.table.owned()) == 2)
            await world.publish("cm_activity", *(activity(who, n) for n, who in enumerate(people)))
            urls = [worker.app.faust.conf.canonical_url for worker in (first, second) if worker]

            async def all_answer():
                async with ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
                    for url in urls:
                        for who in people:
                            async with session.get(f"{url}/profiles/{who.upper()}") as answer:
                                if answer.status != 200 or (await answer.json())["email"] != who:
                                    return False
                return True

            await eventually(all_answer)
            async with ClientSession() as session:
                for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
                    async with session.get(f"{urls[0]}/profiles/p1@x.com", headers=headers) as answer:
                        assert answer.status == 401
                token = {"Authorization": f"Bearer {TOKEN}"}
                async with session.get(f"{urls[0]}/profiles/nobody", headers=token) as answer:
                    assert answer.status == 400
        finally:
            if second:
                await second.stop()


async def test_a_profile_that_would_grow_too_large_costs_only_what_makes_it_so(world):
    long = [activity("a@x.com", n, "click", url=f"https://e.com/{n}/" + "x" * 2000) for n in range(6)]
    async with world.running(overrides={"max_record_bytes": 8000}) as worker:
        await world.publish("cm_activity", *long, activity("b@x.com", 50), activity("a@x.com", 51))
        await worker.app.settled()
        letters = await world.records("cm_activity.dlq")
        profiles = await world.profiles()

    assert profiles["b@x.com"]["cm_openct"] == 1
    assert profiles["a@x.com"]["cm_openct"] == 1
    assert len(profiles["a@x.com"]["cm_email_urls"]) + len(letters) == len(long)
    assert letters
    assert all(b"exceeds the limit of 8000 bytes" in dict(letter.headers)["dlq.reason"] for letter in letters)


async def test_a_defect_costs_only_the_records_it_strikes(world):
    worker = world.worker()
    stream = worker.fold.streams["cm_activity"]

    def raises(fields, message, *more):
        if message.campaign_id == "bad":
            stream.fold(fields, message, *more)
            raise ZeroDivisionError
        return stream.fold(fields, message, *more)

    worker.fold.streams["cm_activity"] = dataclasses.replace(stream, fold=raises)
    worker.app.runtime.batched[f"{world.namespace}cm_activity"] = lambda batch: worker.agent.events(
        batch, worker.fold.streams["cm_activity"]
    )
    await worker.start()
    try:
        events = [activity("a@x.com", n, campaign_id="bad" if n % 3 == 0 else "k") for n in range(9)]
        await world.publish("cm_activity", *events, activity("b@x.com", 50))
        await worker.app.settled()
    finally:
        await worker.stop()
    profiles = await world.profiles()

    assert profiles["a@x.com"]["cm_openct"] == 6
    assert profiles["a@x.com"]["cm_campaign_ids"] == ["k"]
    assert profiles["b@x.com"]["cm_openct"] == 1
    assert len(await world.records("cm_activity.dlq")) == 3
