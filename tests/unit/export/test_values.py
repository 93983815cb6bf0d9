"""Values that Campaign Monitor would drop: translated, or left out and named; never sent again for ever."""

from typing import Any

import pytest

from connectors.devkit.simulator import Simulator, SimulatorSettings
from streams.export.lists.attention import VALUES
from streams.export.recovery.reconcile import DriftReport, compare, subscribers
from streams.export.rules.dropped import ANY, ValueKind
from streams.export.table import CHECKPOINT_KEY
from tests.unit.export.export_world import World

ANN = "ann@example.com"
TYPES = {
    "land": "Country",
    "state": "USState",
    "points": "Number",
    "since": "Date",
    "plan": "MultiSelectOne",
    "likes": "MultiSelectMany",
    "bio": "Text",
}
MAPPINGS = [
    {"user_field": name, "custom_field": name.title(), "data_type": data_type} for name, data_type in TYPES.items()
]


async def drift(world: World) -> DriftReport:
    """What a reconciliation finds."""
    assert world.worker is not None
    listed = world.worker.state.exports.lists[world.list_id]
    api = world.worker.accounts._open["auth-1"].apis["live"]
    process, dropped = world.worker.process, world.worker.shared.dropped(world.list_id)
    rows = [
        (row.key.decode(), row.data)
        for partition in range(world.log.partitions)
        async for step in process.scan(partition, after=None, step=100)
        for row in step
        if row.exists and row.key != CHECKPOINT_KEY
    ]
    return compare(rows, listed, world.worker.state.names, await subscribers(api, world.list_id), dropped)


@pytest.mark.parametrize(
    ("name", "value", "held", "note"),
    [
        ("land", "USA", ["United States of America"], None),
        ("land", "Mordor", [], "land was left out: not a country that Campaign Monitor knows"),
        ("state", "TX", ["Texas"], None),
        ("state", "Bavaria", [], "state was left out: not a state of the USA that Campaign Monitor knows"),
        ("points", "\u0664\u0662", ["42"], None),
        ("points", "1e3", ["1000"], None),
        ("points", True, ["1"], None),
        ("points", "NaN", [], "points was left out: not a number"),
        ("since", "1850-01-01", [], "since was left out: 1850-01-01 is outside of 1900-01-01 to 2076-06-06"),
        ("plan", ["pro", "basic"], [], "plan was left out: 2 values; the field holds one"),
        ("plan", "a||b", [], "plan was left out: it contains ||, which separates options"),
        ("likes", ["a", "b||c"], ["a"], "likes was left out: an option, it contains ||, which separates options"),
        ("bio", "\U0001f600" * 126, [], "bio was left out: 252 characters; the limit is 250"),
    ],
)
async def test_a_value_is_kept_or_named(world: World, name: str, value: Any, held: list[str], note: str | None) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={name: value})
    await worker.rest()
    assert [text.removesuffix(" 00:00:00") for text in world.options(ANN, name.title())] == held
    (receipt,) = world.receipts()
    assert (receipt["outcome"], receipt.get("message")) == ("added", note)
    assert world.options(ANN) == ["VIP"]
    found = await drift(world)
    assert (found.compared, found.drifted) == (1, 0)


async def test_a_number_that_was_changed_by_hand_is_found(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"points": 7})
    await worker.rest()
    world.controls.edit_profile(world.list_id, ANN, fields={"Points": "8"})
    assert (await drift(world)).different == [ANN]


@pytest.mark.parametrize(("units", "held"), [("utf-16", []), ("characters", ["\U0001f600" * 250])])
async def test_what_the_limit_counts_is_a_setting(units: Any, held: list[str]) -> None:
    async with Simulator(SimulatorSettings(value_units=units)) as simulator:
        world = World(simulator, value_units=units)
        world.job(field_mappings=MAPPINGS)
        worker = await world.start()
        world.change(ANN, "enter", "vip", 1, user={"bio": "\U0001f600" * 250}, name="\U0001f600" * 250)
        await worker.rest()
        assert world.options(ANN, "Bio") == held
        assert world.options(ANN) == ["\U0001f600" * (250 if held else 125)]
        assert ("message" in world.receipts()[0]) is not bool(held)
        assert (await drift(world)).drifted == 0
        await worker.crash()


@pytest.mark.parametrize(
    ("limit", "units", "case"),
    [
        ("cut", "bytes", "exact"),
        ("drop", "bytes", "ignore"),
        ("keep", "bytes", "exact"),
        ("reject", "bytes", "exact"),
        ("cut", "characters", "ignore"),
        ("drop", "utf-16", "exact"),
    ],
)
async def test_what_only_reading_shows_is_named(limit: Any, units: Any, case: Any) -> None:
    settings = SimulatorSettings(value_limit=limit, value_units=units, option_case=case)
    async with Simulator(settings) as simulator:
        world = World(simulator)
        world.job(field_mappings=MAPPINGS)
        worker = await world.start()
        for person in (ANN, "bob@example.com"):
            world.change(person, "enter", "vip", 1, user={"bio": "\u00e9" * 200, "likes": ["Tea", "tea"]})
            await worker.rest()
        held = ["\u00e9" * 200]
        for person, receipt in zip((ANN, "bob@example.com"), world.receipts(), strict=True):
            if units == "bytes" and limit == "reject":
                assert receipt["outcome"] == "refused"
                continue
            assert receipt["outcome"] == "added"
            named = "bio (values of more than 250 bytes) was dropped by Campaign Monitor"
            assert (receipt.get("message") == named) is (world.options(person, "Bio") != held)
            assert world.options(person, "Likes") == ["Tea", "tea"]
        dropped = units == "bytes" and limit in ("cut", "drop")
        assert (VALUES in (world.jobs["job-1"].attention or "")) is dropped
        assert (await drift(world)).drifted == 0
        await worker.stop()
        simulator.state.settings.value_units = "utf-16"
        worker = await world.start()
        world.change(ANN, "enter", "eu", 2)
        await worker.rest()
        assert world.options(ANN, "Bio") == held
        assert (await drift(world)).drifted == int(dropped)
        assert world.jobs["job-1"].attention is None
        await worker.stop()


async def test_what_another_worker_saw_dropped_is_read_again(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"bio": "a"})
    await worker.rest()
    await worker.shared.values_dropped(world.list_id, frozenset({ValueKind("bio", ANY)}))
    worker.runner.senders.check_lists()
    await worker.rest()
    assert f'{VALUES}"Bio". ' in (world.jobs["job-1"].attention or "")
    world.change(ANN, "enter", "eu", 2, user={"bio": "b"})
    await worker.rest()
    assert worker.shared.dropped(world.list_id) == frozenset()
    assert world.jobs["job-1"].attention is None
    assert "message" not in world.receipts()[-1]
