"""Changes of address, erasure and rebuilds on a real broker, over partitions and workers."""

import asyncio

import pytest

from schemas.identity import digest_of
from streams.batches import partition_of
from streams.profile.erasure import erase
from streams.profile.rebuild import RebuildError
from tests.deadline import eventually
from tests.integration.profile.conftest import PARTITIONS
from tests.integration.profile.test_aggregator import activity


def addresses_apart():
    """Two addresses of different partitions."""
    names = [f"p{n}@x.com" for n in range(50)]
    first = names[0]
    other = next(n for n in names if partition_of(n.encode(), PARTITIONS) != partition_of(first.encode(), PARTITIONS))
    return first, other


async def test_a_profile_moves_to_another_partition(world):
    old, new = addresses_apart()
    async with world.running("one"), world.running("two"):
        await world.publish("cm_activity", *(activity(old, n) for n in range(5)))
        await eventually(lambda: opens(world, old, 5))
        await world.publish("cm_activity", activity(new, 10, "update", old_email=old.upper()), activity(new, 11))
        await world.publish("cm_activity", *(activity(old, n) for n in (3, 4, 5, 6)))  # two of them again, two late
        profile = await eventually(lambda: opens(world, new, 8))
        records = [record for record in await world.records("cm_profile") if record.key == old.encode()]

    assert profile["email"] == new
    assert profile["cm_email_event"] == {"open": 8, "update": 1}
    assert records[-1].value is None


async def opens(world, email, number):
    profile = (await world.profiles()).get(email, {})
    return profile if profile.get("cm_openct") == number else None


async def test_a_person_is_erased_with_every_address_and_stays_away(world):
    old, new = addresses_apart()
    async with world.running() as worker:
        await world.publish("cm_activity", activity(old, 1), activity(new, 10, "update", old_email=old))
        await eventually(lambda: opens(world, new, 1))
        receipt = await erase(world.kafka, old, 30)
        await eventually(lambda: gone(world))
        await world.publish("cm_activity", activity(old, 2), activity(new, 12))
        await worker.app.settled()
        assert await world.profiles() == {}
    assert (receipt.outcome, receipt.email_sha256) == ("erased", digest_of(old))
    assert b"@" not in b"".join(record.value for record in await world.records("cm_erasures"))

    rebuild = world.rebuild()  # reads all of history again
    await rebuild.build(lambda progress: None, **world.waits)
    shadow = await world.records(rebuild.shadow.removeprefix(world.namespace))
    assert [record for record in shadow if record.value is not None] == []


async def gone(world):
    return not await world.profiles()


async def test_mappings_change_by_a_rebuild(world, tmp_path, default_mappings):
    people = [f"p{n}@x.com" for n in range(10)]
    changed = tmp_path / "mappings"
    changed.mkdir()
    for name in ("cm_user", "cm_activity"):
        text = (default_mappings / f"{name}.lql").read_text()
        (changed / f"{name}.lql").write_text(text.replace('IF eq(event, "sent")', 'IF eq(event, "open")'))
    old, new = addresses_apart()
    async with world.running() as worker:
        await world.publish("cm_activity", *(activity(who, n) for n, who in enumerate(people)))
        await world.publish(
            "cm_activity", activity("quiet@x.com", 1, "bounce"), activity(new, 100, "update", old_email=old)
        )
        await worker.app.settled()
        rebuild = world.rebuild(mapping_dir=changed)
        progress = []
        await rebuild.build(progress.append, **world.waits)
        found = await asyncio.to_thread(lambda: list(rebuild.differences()))
        with pytest.raises(RebuildError, match="stop them, switch"):
            await rebuild.switch()

    assert progress[-1].done == progress[-1].total >= 12
    assert {difference.email for difference in found} == {*people} - {old}
    assert all(set(difference.fields) == {"cm_sendct"} for difference in found)
    assert await eventually(lambda: rebuild_switches(rebuild))
    await asyncio.to_thread(rebuild.clean)
    async with world.running(mapping_dir=changed) as worker:
        await world.publish("cm_activity", activity(people[3], 50))
        await worker.app.settled()
    profiles = await world.profiles()
    assert profiles[people[3]]["cm_sendct"] == 2
    assert profiles[people[3]]["cm_openct"] == 2
    assert profiles["quiet@x.com"]["cm_email_event"] == {"bounce": 1}
    assert old not in profiles


async def rebuild_switches(rebuild):
    try:
        return await rebuild.switch()
    except RebuildError:
        return 0
