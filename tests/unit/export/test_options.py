"""Every option of an export job, on its own."""

import asyncio

import pytest

from schemas.membership_command import Resend, command_bytes
from streams.batches import Output
from tests.unit.export.export_world import DAY, World

PEOPLE = [f"p{number}@example.com" for number in range(10)]


async def test_only_named_audiences_are_exported_by_id_or_name(world: World) -> None:
    world.job(audiences=["vip", "EU"])
    worker = await world.start()
    for audience in ("vip", "eu", "other"):
        world.change("ann@example.com", "enter", audience, 1)
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]
    assert len(world.receipts()) == 2


async def test_without_existing_users_people_count_from_their_first_change(world: World) -> None:
    world.job("other", audiences=["nobody"])
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("bob@example.com", "enter", "vip", 1)
    await worker.rest()
    world.job(started_at=DAY.replace(hour=1))
    await worker.rest()
    assert world.subscriber("ann@example.com") is None
    world.change("ann@example.com", "enter", "eu", 7200)
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]
    assert world.subscriber("bob@example.com") is None


async def test_resubscribe_brings_back_who_enters_but_not_for_a_changed_field(world: World) -> None:
    world.at(60)
    world.job(resubscribe_users=True, field_mappings=[{"user_field": "city", "custom_field": "City"}])
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    world.at(300)
    world.snapshot("ann@example.com", ["vip"], 290, user={"city": "Oslo"})
    await worker.rest()
    assert world.subscriber("ann@example.com")["State"] == "Unsubscribed"
    world.change("ann@example.com", "enter", "eu", 300)
    await worker.rest()
    assert world.subscriber("ann@example.com")["State"] == "Active"
    assert world.options("ann@example.com") == ["EU", "VIP"]


@pytest.mark.parametrize(
    ("consent", "state"), [("2099-01-01", "Active"), ("2020-01-01", "Unsubscribed"), (None, "Unsubscribed")]
)
async def test_consent_must_be_later_than_the_unsubscribe(world: World, consent: str | None, state: str) -> None:
    world.at(60)
    world.job(resubscribe_users=True, consent_rule={"user_field": "consent_at"})
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"consent_at": "2020-01-01"})
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    world.at(300)
    world.change("ann@example.com", "enter", "eu", 300, user={"consent_at": consent})
    await worker.rest()
    assert world.subscriber("ann@example.com")["State"] == state


async def test_update_only_adds_nobody(world: World) -> None:
    world.controls.add_subscriber(world.list_id, "ann@example.com")
    world.job(update_only=True)
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("bob@example.com", "enter", "vip", 1)
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    assert world.subscriber("bob@example.com") is None
    assert world.outcomes("bob@example.com") == ["refused not_a_subscriber"]


@pytest.mark.parametrize(
    ("policy", "state"), [("keep", "Active"), ("unsubscribe", "Unsubscribed"), ("delete", "Deleted")]
)
async def test_who_leaves_the_last_audience(world: World, policy: str, state: str) -> None:
    world.job(on_last_exit=policy)
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.change("ann@example.com", "exit", "vip", 2)
    await worker.rest()
    assert world.subscriber("ann@example.com")["State"] == state
    assert world.options("ann@example.com") == []
    assert world.outcomes() == ["added", "removed"]


async def test_two_jobs_on_a_list_share_the_field(world: World) -> None:
    world.job("job-1", audiences=["vip"])
    world.job("job-2", audiences=["eu"], on_last_exit="delete")
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("ann@example.com", "enter", "eu", 1)
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]
    world.change("ann@example.com", "exit", "eu", 2)
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    assert world.subscriber("ann@example.com")["State"] == "Active"
    assert sorted((receipt["job_id"], receipt["outcome"]) for receipt in world.receipts()) == [
        ("job-1", "added"), ("job-2", "added"), ("job-2", "removed"),
    ]  # fmt: skip


async def test_a_stopped_job_sends_nothing_and_resumes_where_it_was(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.job(state="stopped")
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.consume()
    await asyncio.sleep(5)
    assert world.options("ann@example.com") == ["VIP"]
    world.job()
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]
    assert world.outcomes() == ["added", "updated"]


async def test_mapped_fields_are_created_with_their_types_and_long_values_left_out(world: World) -> None:
    world.job(
        field_mappings=[
            {"user_field": "city", "custom_field": "City"},
            {"user_field": "points", "custom_field": "Points", "data_type": "Number"},
            {"user_field": "since", "custom_field": "Since", "data_type": "Date"},
            {"user_field": "plan", "custom_field": "Plan", "data_type": "MultiSelectOne"},
            {"user_field": "likes", "custom_field": "Likes", "data_type": "MultiSelectMany"},
            {"user_field": "bio", "custom_field": "Bio"},
        ]
    )
    worker = await world.start()
    user = {
        "city": "Łódź",
        "points": 42,
        "since": "2024-02-29T10:00:00Z",
        "plan": "pro",
        "likes": ["a", "b"],
        "bio": "x" * 251,
    }
    world.change("ann@example.com", "enter", "vip", 1, user=user)
    await worker.rest()
    ann = world.subscriber("ann@example.com")
    values = {(value["Key"].strip("[]"), value["Value"]) for value in ann["CustomFields"]}
    assert {("City", "Łódź"), ("Points", "42"), ("Plan", "pro"), ("Likes", "a"), ("Likes", "b")} <= values
    assert any(key == "Since" and value.startswith("2024-02-29") for key, value in values)
    assert not any(key == "Bio" for key, _ in values)
    assert "bio was left out: 251 characters" in world.receipts()[0]["message"]
    world.change("ann@example.com", "enter", "vip", 2, user={"city": None})
    await worker.rest()
    assert world.options("ann@example.com", "City") == []


async def test_a_changed_mapping_makes_the_rows_due_that_it_touches(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"city": "Ghent"})
    world.change("bob@example.com", "enter", "vip", 1)
    await worker.rest()
    before = len(world.controls.writes())
    world.job(field_mappings=[{"user_field": "city", "custom_field": "City"}])
    await worker.rest()
    assert world.options("ann@example.com", "City") == ["Ghent"]
    assert [write["email"] for write in world.controls.writes()[before:]] == ["ann@example.com"]


async def test_a_renamed_audience_is_renamed_for_everybody(world: World) -> None:
    world.job()
    worker = await world.start()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.change("p0@example.com", "enter", "vip", 9, name="Very important")
    await worker.rest()
    assert all(world.options(person) == ["Very important"] for person in PEOPLE)
    refs = await worker.accounts._open["auth-1"].apis["live"].lists.segments(world.list_id)
    assert [segment.title for segment in refs] == ["Very important"]


async def test_segments_match_exactly_their_option(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("bob@example.com", "enter", "vip-eu", 1)
    await worker.rest()
    access = worker.accounts._open["auth-1"].apis["live"]
    found = {}
    for ref in await access.lists.segments(world.list_id):
        page = await access.segments.active(ref.segment_id)
        found[ref.title] = [row["EmailAddress"] for row in page.rows]
    assert found == {"VIP": ["ann@example.com"], "VIP-EU": ["bob@example.com"]}


async def test_too_many_removals_wait_for_a_person(world: World) -> None:
    world.settings = world.settings.model_copy(update={"guard_minimum": 2})
    world.job(removal_guard=0.3)
    worker = await world.start()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    for person in PEOPLE[:8]:
        world.change(person, "exit", "vip", 2)
    world.change("new@example.com", "enter", "vip", 2)
    await worker.consume()
    await asyncio.sleep(20)
    removed = [person for person in PEOPLE if not world.options(person)]
    assert len(removed) == 3
    assert world.options("new@example.com") == ["VIP"]
    assert "confirm" in str(world.attention["job-1"])
    world.confirm_removals()
    await worker.rest()
    assert world.attention["job-1"] is None
    assert [person for person in PEOPLE if not world.options(person)] == PEOPLE[:8]


async def test_no_address_is_refused_without_a_call(world: World) -> None:
    world.job(email_field="work")
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("bob@example.com", "enter", "vip", 1, user={"work": "nonsense"})
    await worker.rest()
    assert world.outcomes("ann@example.com") == ["refused no_address"]
    assert world.outcomes("bob@example.com") == ["refused invalid"]
    world.change("ann@example.com", "enter", "vip", 2, user={"work": "ann@work.example"})
    await worker.rest()
    assert world.outcomes("ann@example.com")[-1] == "added"


async def test_a_resend_writes_what_the_list_should_hold(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, "ann@example.com", fields={"Lytics Audiences": ""})
    world.log.append(Output("cm_membership-commands", b"ann@example.com", command_bytes(Resend(world.list_id))), 0)
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    assert world.outcomes() == ["added"]


async def test_two_hours_of_outage_end_in_net_changes_only(world: World) -> None:
    world.job()
    worker = await world.start()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    number = world.controls.inject(kind="reset", count=None, path="*")
    before = len(world.controls.writes())
    for minute in range(120):
        for person in PEOPLE[:9]:
            world.change(person, "exit" if minute % 2 == 0 else "enter", "vip", 60 + minute)
        if minute % 40 == 0:
            await worker.consume()
    world.change("p9@example.com", "exit", "vip", 400)
    await worker.consume()
    world.controls.clear_faults(number)
    await worker.rest()
    # Whoever was in a request whose answer got lost is written once, as they are now; nobody twice.
    written = [write["email"] for write in world.controls.writes()[before:]]
    assert len(written) == len(set(written))
    assert all(world.options(person) == ["VIP"] for person in PEOPLE[:9])
    assert world.options("p9@example.com") == []
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)) == 10 + 9 * 120 + 1
