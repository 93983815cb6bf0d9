"""What `export plan` and `reconcile` count is what the worker then does."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import pytest

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.dates import ClientDates
from connectors.kafka.settings import KafkaSettings
from schemas.membership_command import command_bytes
from streams.batches import Output
from streams.control import export_plans
from streams.export.recovery.preview import Preview, preview
from streams.export.recovery.reconcile import DriftReport, compare, repairs, subscribers
from streams.export.rules.row import MembershipRow, decode
from streams.export.rules.values import field_name
from tests.unit.export.export_world import World

ZONE = "(GMT) Coordinated Universal Time"
PEOPLE = [f"p{number}@example.com" for number in range(8)]


def _rows(world: World) -> list[tuple[str, MembershipRow]]:
    return [
        (key.decode(), decode(value))
        for rows in world.log.rows.values()
        for key, (value, _) in rows.items()
        if value and not key.startswith(b"\x00")
    ]


async def _plan(world: World, *, confirmed_opt_in: bool = False, fields: Collection[str] = ()) -> Preview:
    assert world.worker is not None
    api = world.worker.accounts._open["auth-1"].apis["live"]
    listed = world.worker.state.exports.lists[world.list_id]
    on_list = await subscribers(api, world.list_id)
    dates = ClientDates.of(ZONE, {})
    names = world.worker.state.names
    return preview(_rows(world), listed, names, on_list, dates, confirmed_opt_in=confirmed_opt_in, fields=fields)


async def _failing(world: World) -> int:
    """Let every import fail, so that what is due stays due."""
    return int(world.controls.inject(kind="status", status=500, count=None, path="/subscribers/*"))


@pytest.mark.parametrize("resubscribe", [True, False])
async def test_a_plan_counts_who_is_made_active_again(world: World, resubscribe: bool) -> None:
    """All of them enter at the twentieth minute; they left before, in that minute, or later."""
    for person, minute in zip(PEOPLE, (10, 15, 20, 25), strict=False):
        world.at(60)
        world.controls.add_subscriber(world.list_id, person)
        world.at(60 * minute + 15)
        world.controls.unsubscribe(world.list_id, person)
    world.at(60)
    world.controls.add_subscriber(world.list_id, PEOPLE[4])
    world.at(3600)
    world.job(resubscribe_users=resubscribe)
    fault = await _failing(world)
    worker = await world.start()
    for person in PEOPLE[:6]:
        world.change(person, "enter", "vip", 60 * 20 + 10)
    await worker.consume()
    found = await _plan(world)
    assert (found.adds, found.updates) == (1, 1)
    assert (found.would_resubscribe, found.blocked) == ((2, 2) if resubscribe else (0, 4))
    assert found.billable == found.adds + found.would_resubscribe
    world.controls.clear_faults()
    await worker.rest()
    states: list[Any] = [(world.subscriber(person) or {})["State"] for person in PEOPLE[:4]]
    assert states.count("Active") == found.would_resubscribe
    after = await _plan(world)
    assert (after.nothing_to_do, after.unchanged, after.blocked) == (True, 6 - found.blocked, found.blocked)
    assert fault


async def test_a_plan_says_who_waits_for_confirmation(world: World) -> None:
    world.list_id = world.controls.add_list(world.client_id, "Confirmed", confirmed_opt_in=True)
    world.job()
    worker = await world.start()
    world.change(PEOPLE[0], "enter", "vip", 1)
    await worker.rest()
    await _failing(world)
    for person in PEOPLE[:3]:
        world.change(person, "enter", "eu", 2)
    await worker.consume()
    found = await _plan(world, confirmed_opt_in=True)
    assert (found.adds, found.updates, found.wait_for_confirmation) == (2, 1, 3)
    world.controls.clear_faults()
    await worker.rest()
    states = {(world.subscriber(person) or {})["State"] for person in PEOPLE[:3]}
    assert states == {"Unconfirmed"}
    after = await _plan(world, confirmed_opt_in=True)
    assert (after.nothing_to_do, after.unchanged, after.blocked) == (True, 3, 0)


async def test_a_reconciliation_says_who_waits_for_confirmation(world: World) -> None:
    world.list_id = world.controls.add_list(world.client_id, "Confirmed", confirmed_opt_in=True)
    world.job()
    worker = await world.start()
    for person in PEOPLE[:2]:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    api = worker.accounts._open["auth-1"].apis["live"]
    listed = worker.state.exports.lists[world.list_id]
    plain = {name: field_name(name) for name in ("Lytics Audiences",)}
    report = compare(_rows(world), listed, worker.state.names, await subscribers(api, world.list_id), plain)
    assert (report.compared, report.drifted, report.wait_for_confirmation) == (2, 0, 2)


async def _drift(world: World) -> DriftReport:
    assert world.worker is not None
    api = world.worker.accounts._open["auth-1"].apis["live"]
    listed = world.worker.state.exports.lists[world.list_id]
    return compare(_rows(world), listed, world.worker.state.names, await subscribers(api, world.list_id))


@pytest.mark.parametrize("own", [False, True])
async def test_of_people_with_one_address_only_one_is_counted_as_its_owner(world: World, own: bool) -> None:
    """Three people have one address in their field; perhaps it is the own one of a fourth."""
    home = "home@example.com"
    world.job(email_field="mail", field_mappings=[{"user_field": "city", "custom_field": "City"}])
    fault = await _failing(world)
    worker = await world.start()
    for number, person in enumerate(PEOPLE[:3]):
        world.change(person, "enter", "vip", 1, user={"mail": home, "city": f"City {number}"})
    if own:
        world.change(home, "enter", "vip", 1, user={"mail": home, "city": "Home"})
    await worker.consume()
    found = await _plan(world)
    assert (found.adds, found.refused, found.imported) == (1, 2 + own, 1)
    world.controls.clear_faults()
    await worker.rest()
    report = await _drift(world)
    assert (report.compared, report.different, report.missing, report.waiting) == (1, [], [], 0)
    after = await _plan(world)
    assert (after.nothing_to_do, after.unchanged, after.refused) == (True, 1, 2 + own)
    refused = next(person for person in PEOPLE[:3] if world.outcomes(person)[-1].startswith("refused"))
    await _failing(world)
    world.snapshot(refused, ["vip"], 2, user={"city": "Rome"})
    await worker.consume()
    found = await _plan(world)
    assert (found.updates, found.nothing_to_do) == (0, True)
    report = await _drift(world)
    assert (report.different, report.repairable, report.strangers) == ([], [], [])
    assert fault


async def test_a_mapped_field_is_missing_once_somebody_who_is_written_has_a_value(world: World) -> None:
    mapped = [{"user_field": name, "custom_field": name.title()} for name in ("city", "plan")]
    world.job(field_mappings=mapped)
    await _failing(world)
    worker = await world.start()
    world.change(PEOPLE[0], "enter", "vip", 1)
    await worker.consume()
    assert (await _plan(world)).fields_missing == ["Lytics Audiences"]
    world.change(PEOPLE[1], "enter", "vip", 1, user={"city": "Rome"})
    await worker.consume()
    assert (await _plan(world)).fields_missing == ["Lytics Audiences", "City"]
    world.controls.clear_faults()
    await worker.rest()
    found = await _plan(world, fields={"lyticsaudiences", "city"})
    assert (found.fields_missing, found.nothing_to_do) == ([], True)


async def test_a_repair_notes_who_is_missing_and_a_plan_counts_them_as_blocked(world: World) -> None:
    world.job()
    worker = await world.start()
    for person in PEOPLE[:2]:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.controls.delete_permanently(world.list_id, PEOPLE[0])
    world.controls.edit_profile(world.list_id, PEOPLE[1], fields={"Lytics Audiences": ""})
    report = await _drift(world)
    assert (report.missing, report.gone) == ([PEOPLE[0]], [PEOPLE[0]])
    assert (report.different, report.repairable) == ([PEOPLE[1]], [PEOPLE[1]])
    for key, command in repairs(report, world.list_id, int(world.wall())):
        world.log.append(Output("cm_membership-commands", key.encode(), command_bytes(command)), world.wall())
    await worker.rest()
    assert (world.subscriber(PEOPLE[0]), world.options(PEOPLE[1])) == (None, ["VIP"])
    report = await _drift(world)
    assert (report.drifted, report.waiting) == (0, 0)
    await _failing(world)
    world.job(custom_field_name="Groups")
    await worker.consume()
    found = await _plan(world)
    assert (found.adds, found.updates, found.blocked) == (0, 1, 1)


class Commands:
    """Keeps the keys of what a repair publishes."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def publish_many(self, records: Iterable[Any]) -> None:
        self.keys += [record.key.decode() for record in records]


@pytest.mark.parametrize("repair", [False, True])
async def test_who_changes_state_while_the_list_is_read_is_not_missing(
    world: World, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    """Two people are in no reading of a state: one has left, one has other audiences. A third is gone."""
    world.job()
    worker = await world.start()
    for person in PEOPLE[:4]:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.controls.delete_permanently(world.list_id, PEOPLE[0])
    world.controls.unsubscribe(world.list_id, PEOPLE[1])
    world.controls.edit_profile(world.list_id, PEOPLE[2], fields={"Lytics Audiences": ""})
    api = worker.accounts._open["auth-1"].apis["live"]
    listed, whole = worker.state.exports.lists[world.list_id], api.lists.subscribers

    async def moving(*asked: Any) -> Any:
        page = await whole(*asked)
        return replace(page, rows=[row for row in page.rows if row["EmailAddress"] not in PEOPLE[1:3]])

    monkeypatch.setattr(api.lists, "subscribers", moving)
    monkeypatch.setattr(export_plans, "snapshot_rows", lambda *_: iter(_rows(world)))
    view = export_plans.ExportView(listed.jobs[0].job, api, worker.state, listed, frozenset())
    kafka, commands = KafkaSettings(_env_file=None), Commands()
    producer: Any = commands if repair else None
    report = await export_plans.export_drift(kafka, view, producer)
    assert (report.compared, report.missing, report.gone) == (4, PEOPLE[:1], PEOPLE[:1])
    assert (report.different, report.repairable, report.strangers) == ([PEOPLE[2]], [PEOPLE[2]], [])
    assert sorted(commands.keys) == ([PEOPLE[0], PEOPLE[2]] if repair else [])
    monkeypatch.setattr(export_plans, "FEW", 2)
    report = await export_plans.export_drift(kafka, view, producer)
    assert sorted(report.missing) == (PEOPLE[:1] if repair else PEOPLE[:3]), (
        "more than a few are read for a repair only"
    )


async def test_a_plan_reads_who_is_in_no_state_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people change state while the list is read, and were counted as added; a third is new."""
    for person in PEOPLE[:2]:
        world.at(60)
        world.controls.add_subscriber(world.list_id, person)
    world.at(120)
    world.controls.unsubscribe(world.list_id, PEOPLE[1])
    world.at(3600)
    world.job()
    world.controls.inject(kind="status", status=500, count=None, path="/subscribers/*/import")
    worker = await world.start()
    for person in PEOPLE[:3]:
        world.change(person, "enter", "vip", 90)
    await worker.consume()
    api = worker.accounts._open["auth-1"].apis["live"]
    listed, whole = worker.state.exports.lists[world.list_id], api.lists.subscribers

    async def moving(*asked: Any) -> Any:
        return replace(await whole(*asked), rows=[])

    monkeypatch.setattr(api.lists, "subscribers", moving)
    monkeypatch.setattr(export_plans, "snapshot_rows", lambda *_: iter(_rows(world)))
    view = export_plans.ExportView(listed.jobs[0].job, api, worker.state, listed, frozenset())
    asked: Any = (KafkaSettings(_env_file=None), CampaignMonitorSettings(_env_file=None), view)
    found = await export_plans.export_plan(*asked)
    assert (found.adds, found.updates, found.blocked) == (1, 1, 1)
    monkeypatch.setattr(export_plans, "FEW", 2)
    found = await export_plans.export_plan(*asked)
    assert (found.adds, found.updates, found.blocked) == (3, 0, 0), (
        "more than a few are counted as the list showed them"
    )
