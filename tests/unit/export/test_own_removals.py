"""Whoever is taken off a list by a job did not leave, whatever reports it, and however late."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.translate import RowTranslator
from schemas.identity import key_of
from schemas.import_task import Source
from streams.batches import Output, StoredRecord
from streams.export.lists.senders import ListSenders
from streams.export.sending.plan import removal_record
from streams.mapping.catalog import load_catalog
from streams.profile.folding.fold import BatchEffects, ProfileFold, ProfileTopics
from streams.profile.folding.removals import KEPT, Removal, with_removals
from tests.unit.export.export_world import World

ANN, BOB = "ann@example.com", "bob@example.com"
ZONE = "(GMT) Coordinated Universal Time"
FOLD = ProfileFold(load_catalog(), ProfileTopics("moves", "erasures"))


def _profile(records: list[StoredRecord], address: str, size: int = 1) -> dict[str, Any]:
    """A person's profile after all records, so many at a time, as a rebuild has it; empty where there is none."""
    stream, value, state = FOLD.streams["cm_activity"], None, b""
    own = [record for record in records if record.key == key_of(address)]
    for start in range(0, len(own), size):
        profile = FOLD.codec.decode(key_of(address), value, state)
        events = [stream.reader.read(record)[1] for record in own[start : start + size]]
        FOLD.events(profile, address, stream, events, BatchEffects(0))
        value, state = FOLD.codec.encode(profile)
    found: dict[str, Any] = orjson.loads(value or b"{}")
    return found


def _deactivate(list_id: str, address: str, status: str, at: datetime, source: str = "webhook") -> bytes:
    body = {
        "event_id": f"{at:%H%M}{status}{list_id}", "at": at.isoformat(), "event": "deactivate", "email": address,
        "status": status, "source": source, "list_id": list_id,
    }  # fmt: skip
    return orjson.dumps(body)


def _reported(world: World, address: str, status: str, at: datetime) -> None:
    """A webhook that was sent again for days reports a deactivate, in whole minutes, and nobody marks it."""
    value = _deactivate(world.list_id, address, status, at.replace(second=0, microsecond=0))
    world.log.append(Output("cm_activity", address.encode(), value), world.wall() + 7 * 86_400_000)


async def _taken_off_by_an_edit(world: World, on_exit: str = "unsubscribe") -> dict[str, dict[str, Any]]:
    """Ann loses her audience by an edit of the job, and Bob left by himself before that."""
    world.job(on_last_exit=on_exit)
    worker = await world.start()
    for person in (ANN, BOB):
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, BOB)
    world.job(on_last_exit=on_exit, audiences=["eu"])
    await worker.rest()
    now = datetime.fromtimestamp(world.wall() / 1000, UTC)
    _reported(world, ANN, on_exit, now)
    _reported(world, BOB, on_exit, now)
    return {person: _profile(world.log.read("cm_activity"), person) for person in (ANN, BOB)}


@pytest.mark.parametrize("on_exit", ["unsubscribe", "delete"])
async def test_a_removal_by_an_edit_of_the_job_is_no_act_of_the_person(world: World, on_exit: str) -> None:
    profiles = await _taken_off_by_an_edit(world, on_exit)
    assert profiles[ANN] == {}
    assert profiles[BOB]["cm_email_event"] == {"deactivate": 1}
    assert ("cm_unsub_ts" in profiles[BOB]) == (on_exit == "unsubscribe")
    assert world.outcomes(ANN) == ["added"]


async def test_sabotage_announcing_removals(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: Any) -> None:
        return None

    monkeypatch.setattr(ListSenders, "_announce_removal", silent)
    assert "cm_unsub_ts" in (await _taken_off_by_an_edit(world))[ANN]


async def test_a_removal_is_announced_before_it_is_made(world: World) -> None:
    world.job(on_last_exit="unsubscribe")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.inject(kind="reset", after=False, path="/subscribers/*/unsubscribe.json")
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    announced = [orjson.loads(record.value or b"") for record in world.log.read("cm_activity")]
    assert len(announced) == 2, "once for each call, since each may be the one that is applied"
    assert {(record["email"], record["status"], record["list_id"], record["echo"]) for record in announced} == {
        (ANN, "unsubscribe", world.list_id, True)
    }
    assert (world.subscriber(ANN) or {})["State"] == "Unsubscribed"


async def test_a_late_report_changes_nothing_after_they_came_back(world: World) -> None:
    """Else they were refused as somebody who had left."""
    world.job(on_last_exit="unsubscribe")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    removed_at = datetime.fromtimestamp(world.wall() / 1000, UTC)
    world.change(ANN, "enter", "vip", 3)
    await worker.rest()
    _reported(world, ANN, "unsubscribe", removed_at)
    await worker.rest()
    (rows,) = [rows for rows in world.log.rows.values() if ANN.encode() in rows]
    held = orjson.loads(rows[ANN.encode()][0] or b"")
    assert "u" not in held, "an act of their own was recorded"
    assert _profile(world.log.read("cm_activity"), ANN) == {}


@pytest.mark.parametrize("state", ["unsubscribed", "deleted"])
def test_a_poll_of_what_webhooks_missed_is_matched(state: str) -> None:
    status = {"unsubscribed": "unsubscribe", "deleted": "delete"}[state]
    removed_at = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    source = Source(resource="users", client_id="c", time_zone=ZONE, list_id="l", state=state, gap=True)  # type: ignore[arg-type]  # a state
    translator = RowTranslator(source, "job", ClientDates.of(ZONE, {}), "2026-03-02T00:00:00.000Z")
    (polled,) = translator.translate([{"EmailAddress": ANN, "Date": "2026-03-01 12:00:00", "CustomFields": []}])
    assert polled.record is not None
    records = _records([_announced("l", status, removed_at), polled.record.value])
    assert _profile(records, ANN) == {}
    assert _profile(records[1:], ANN) != {}


def _announced(list_id: str, status: str, at: datetime) -> bytes:
    made = removal_record("cm_activity", list_id, ANN, status, int(at.timestamp() * 1000))  # type: ignore[arg-type]  # a policy
    return made.value or b""


def _records(values: list[bytes]) -> list[StoredRecord]:
    return [StoredRecord(offset, ANN.encode(), value, 1_900_000_000_000) for offset, value in enumerate(values)]


@pytest.mark.parametrize(
    ("list_id", "status", "seconds", "source", "ours"),
    [
        ("l", "unsubscribe", 0, "webhook", True),
        ("l", "unsubscribe", -119, "webhook", True),
        ("l", "unsubscribe", 419, "webhook", True),
        ("l", "unsubscribe", -121, "webhook", False),
        ("l", "unsubscribe", 421, "webhook", False),
        ("l", "delete", 0, "webhook", False),
        ("m", "unsubscribe", 0, "webhook", False),
        # their own click in a mail
        ("l", "unsubscribe", 0, "campaign", False),
    ],
)
def test_which_deactivates_are_ours(list_id: str, status: str, seconds: int, source: str, ours: bool) -> None:
    removed_at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    event = _deactivate(list_id, ANN, status, removed_at + timedelta(seconds=seconds), source)
    found = _profile(_records([_announced("l", "unsubscribe", removed_at), event]), ANN)
    assert (found == {}) == ours


ACTS = st.lists(st.tuples(st.booleans(), st.sampled_from("lm"), st.integers(0, 40)), max_size=12)


@given(ACTS, st.integers(1, 12), st.booleans())
def test_a_rebuild_in_other_batches_has_the_same_profile(
    acts: list[tuple[bool, str, int]], size: int, moved: bool
) -> None:
    began = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    values = [
        (_announced(list_id, "unsubscribe", began + timedelta(minutes=minute)))
        if ours
        else _deactivate(list_id, ANN, "unsubscribe", began + timedelta(minutes=minute))
        for ours, list_id, minute in acts
    ]
    if moved:
        values.insert(0, orjson.dumps({"at": began.isoformat(), "event": "open", "email": ANN, "source": "campaign"}))
    assert _profile(_records(values), ANN) == _profile(_records(values), ANN, size)


def test_the_latest_removals_are_kept() -> None:
    many = [Removal(at, "l", "delete") for at in range(2 * KEPT)]
    assert with_removals((), many) == tuple(many[KEPT:])
    assert with_removals(tuple(many[KEPT:]), many[:1]) == tuple(many[KEPT:])
