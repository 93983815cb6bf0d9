"""Fields, options and segments that people make, edit and delete at Campaign Monitor, also while no worker runs."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.devkit.simulator import Simulator
from streams.export.lists.attention import SEGMENTS
from tests.unit.export.export_world import World

ANN, BOB = "ann@example.com", "bob@example.com"
FIELD = "[LyticsAudiences]"
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]


def api(world: World) -> CampaignMonitor:
    """A client, as a person's tool would use it."""
    assert world.worker is not None
    client: CampaignMonitor = world.worker.accounts._open["auth-1"].apis["live"]
    return client


async def rules(world: World) -> dict[str, str]:
    """The clause of each segment's only rule, by title."""
    found = {}
    for ref in await api(world).lists.segments(world.list_id):
        details = await api(world).segments.details(ref.segment_id)
        ((rule,),) = details.rule_groups or (((("", "none"),),))
        found[ref.title] = rule[1]
    return found


def rename_option(controls: Any, list_id: str) -> None:
    controls.set_options(list_id, FIELD, ["Vip!", "EU"])


def remove_option(controls: Any, list_id: str) -> None:
    controls.set_options(list_id, FIELD, ["EU"])


def recreate_option(controls: Any, list_id: str) -> None:
    controls.set_options(list_id, FIELD, ["VIP"])
    controls.set_options(list_id, FIELD, ["VIP", "EU"])


def delete_field(controls: Any, list_id: str) -> None:
    controls.delete_field(list_id, FIELD)


def recreate_field(controls: Any, list_id: str) -> None:
    controls.delete_field(list_id, FIELD)
    controls.add_field(list_id, "Lytics Audiences", "MultiSelectMany", ["VIP", "EU"])


def recreate_field_as_it_was(controls: Any, list_id: str) -> None:
    controls.delete_field(list_id, FIELD)
    controls.add_field(list_id, "Lytics Audiences", "MultiSelectMany", ["EU", "VIP"])


def delete_mapped_field(controls: Any, list_id: str) -> None:
    controls.delete_field(list_id, "[City]")


def recreate_mapped_field(controls: Any, list_id: str) -> None:
    controls.delete_field(list_id, "[City]")
    controls.add_field(list_id, "City")


EDITS = [
    rename_option, remove_option, recreate_option, delete_field, recreate_field, recreate_field_as_it_was,
    delete_mapped_field, recreate_mapped_field,
]  # fmt: skip


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("edit", EDITS)
async def test_values_that_were_lost_are_written_again(world: World, edit: Callable[..., None], running: bool) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    world.change(BOB, "enter", "eu", 1, user={"city": "Oslo"})
    await worker.rest()
    if not running:
        await worker.stop()
    edit(world.controls, world.list_id)
    held = world.options(ANN), world.options(BOB), world.options(ANN, "City")
    assert held != (["VIP"], ["EU"], ["Ghent"])
    if running:
        worker.runner.senders.check_lists()
    else:
        worker = await world.start()
    await worker.rest()
    assert (world.options(ANN), world.options(BOB)) == (["VIP"], ["EU"])
    assert (world.options(ANN, "City"), world.options(BOB, "City")) == (["Ghent"], ["Oslo"])
    assert world.outcomes() == ["added", "added"]
    writes = len(world.controls.writes())
    worker.runner.senders.check_lists()
    await worker.rest()
    await worker.stop()
    worker = await world.start()
    await worker.rest()
    assert len(world.controls.writes()) == writes


async def test_new_options_and_what_no_job_uses_are_no_loss(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "vip", 2, name="Very important")
    await worker.rest()
    await worker.stop()
    writes = len(world.controls.writes())
    world.controls.set_options(world.list_id, FIELD, ["Very important", "by hand"])
    world.controls.add_field(world.list_id, "By hand")
    worker = await world.start()
    await worker.rest()
    assert len(world.controls.writes()) == writes


async def test_a_field_of_another_type_is_reported_though_nobody_changes(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    await worker.stop()
    world.controls.delete_field(world.list_id, "[City]")
    key = world.controls.add_field(world.list_id, "City", "Number")
    worker = await world.start()
    with pytest.raises(AssertionError):
        await worker.rest(20)
    assert "'City' is Number, the job needs Text" in str(world.attention["job-1"])
    world.controls.delete_field(world.list_id, key)
    worker.runner.credential_changed()
    await worker.rest()
    assert world.options(ANN, "City") == ["Ghent"]


async def test_a_hand_made_segment_is_never_changed(world: World) -> None:
    world.job()
    world.controls.add_field(world.list_id, "Colour")
    worker = await world.start()
    await worker.rest()
    made = await api(world).segments.create(world.list_id, "vip", [[("[Colour]", "EQUALS red")]])
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "eu", 1)
    await worker.rest()
    assert await rules(world) == {"vip": "EQUALS red", "VIP (2)": "EQUALS VIP", "EU": "EQUALS EU"}
    await worker.stop()
    worker = await world.start()
    await worker.rest()
    assert await rules(world) == {"vip": "EQUALS red", "VIP (2)": "EQUALS VIP", "EU": "EQUALS EU"}
    await api(world).segments.delete(made)
    worker.runner.senders.check_lists()
    await worker.rest()
    assert await rules(world) == {"VIP": "EQUALS VIP", "EU": "EQUALS EU"}


async def test_ours_are_repaired_by_their_id(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "eu", 1)
    world.change(ANN, "enter", "new", 1)
    await worker.rest()
    ids = {ref.title: ref.segment_id for ref in await api(world).lists.segments(world.list_id)}
    await worker.stop()
    worker = await world.start()
    await worker.rest()
    await api(world).segments.update(ids["VIP"], "renamed by hand", [[(FIELD, "EQUALS EU")]])
    await api(world).segments.delete(ids["EU"])
    worker.runner.senders.check_lists()
    await worker.rest()
    assert await rules(world) == {"VIP": "EQUALS VIP", "EU": "EQUALS EU", "NEW": "EQUALS NEW"}
    now = {ref.title: ref.segment_id for ref in await api(world).lists.segments(world.list_id)}
    assert (now["VIP"], now["NEW"]) == (ids["VIP"], ids["NEW"])


async def test_without_the_ids_only_exactly_ours_are_adopted(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "eu", 1)
    await worker.rest()
    ids = {ref.title: ref.segment_id for ref in await api(world).lists.segments(world.list_id)}
    await api(world).segments.update(ids["EU"], "EU", [[(FIELD, "EQUALS VIP")]])
    await worker.stop()
    for partition in range(world.log.partitions):
        kept = world.log.topics.get(("cm_export-state", partition), [])
        kept[:] = [record for record in kept if not (record.key or b"").startswith(b"segment/")]
    worker = await world.start()
    await worker.rest()
    assert await rules(world) == {"VIP": "EQUALS VIP", "EU": "EQUALS VIP", "EU (2)": "EQUALS EU"}


async def test_two_names_that_look_alike_are_two_options_and_two_segments(world: World) -> None:
    world.job()
    worker = await world.start()
    names = {"a": "VIP", "b": "vip", "c": " VIP ", "d": "   ", "e": "x" * 249 + "1", "f": "x" * 249 + "\U0001f600"}
    for audience, name in names.items():
        world.change(f"{audience}@example.com", "enter", audience, 1, name=name)
    await worker.rest()
    held = {audience: world.options(f"{audience}@example.com") for audience in names}
    assert held == {
        "a": ["VIP"],
        "b": ["vip (b)"],
        "c": ["VIP (c)"],
        "d": ["d"],
        "e": ["x" * 249 + "1"],
        "f": ["x" * 249],
    }
    assert await rules(world) == {options[0]: f"EQUALS {options[0]}" for options in held.values()}
    world.change("a@example.com", "enter", "a", 2, name="Very important")
    await worker.rest()
    assert world.options("b@example.com") == ["vip"]
    assert world.options("c@example.com") == ["VIP (c)"]
    assert (await rules(world)).keys() == {"Very important", "vip", "VIP (c)", "d", *(held["e"]), *(held["f"])}
    writes = len(world.controls.writes())
    await worker.stop()
    worker = await world.start()
    await worker.rest()
    assert len(world.controls.writes()) == writes


async def test_one_refused_segment_does_not_stop_the_others(world: World) -> None:
    world.job(segment_name="{audience}", audiences=["eu", "vip"])
    world.job("other", audiences=["eu"])
    world.change_job("other", attention=f"{SEGMENTS}left from an earlier run")
    simulator: Simulator = world.simulator
    simulator.state.settings.max_segments = 1
    worker = await world.start()
    for audience in ("eu", "vip"):
        world.change(ANN, "enter", audience, 1)
    await worker.rest()
    assert world.options(ANN) == ["EU", "VIP"]
    assert (await rules(world)).keys() == {"EU"}
    shown = {job_id: job.attention or "" for job_id, job in world.jobs.items()}
    assert f'{SEGMENTS}"VIP", Segment Limits Reached (283). Their people' in shown["job-1"]
    assert shown["other"] == ""
    await worker.runner.senders._context.blocked.report(world.list_id, "look at this")
    assert (world.jobs["job-1"].attention or "").startswith(f"look at this {SEGMENTS}")
    simulator.state.settings.max_segments = None
    worker.runner.senders.check_lists()
    await worker.rest()
    assert (await rules(world)).keys() == {"EU", "VIP"}
    assert {job.attention for job in world.jobs.values()} == {"look at this"}
