"""The export in memory: what a person does upstream, and what the list and the receipts say afterwards."""

from tests.unit.export.export_world import World


async def test_enter_and_exit(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"name": "Ann"})
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    assert world.outcomes() == ["added"]
    world.change("ann@example.com", "exit", "vip", 2)
    await worker.rest()
    assert world.options("ann@example.com") == []
    assert world.outcomes() == ["added", "removed"]


async def test_enter_and_exit_cancel_out_before_anything_is_sent(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("ann@example.com", "exit", "vip", 2)
    await worker.rest()
    assert world.subscriber("ann@example.com") is None
    assert sorted(world.outcomes()) == ["superseded", "unchanged"]


async def test_nobody_who_left_is_made_active_again(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.rest()
    ann = world.subscriber("ann@example.com")
    assert ann is not None
    assert ann["State"] == "Unsubscribed"
    assert world.outcomes() == ["added", "refused unsubscribed"]


async def test_existing_users_are_sent_when_a_job_begins(world: World) -> None:
    world.job("other", audiences=["nobody"])
    worker = await world.start()
    for number in range(20):
        world.change(f"p{number}@example.com", "enter", "vip", number)
    await worker.rest()
    assert world.subscriber("p1@example.com") is None
    world.job("late", existing_users=True)
    await worker.rest()
    assert all(world.options(f"p{number}@example.com") == ["VIP"] for number in range(20))
    assert world.outcomes() == ["added"] * 20


async def test_a_changed_address_is_changed_in_place(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("old@example.com", "enter", "vip", 1, user={"name": "Ann"})
    await worker.rest()
    world.change("new@example.com", "enter", "eu", 5, previous_email="old@example.com")
    await worker.rest()
    assert world.subscriber("old@example.com") is None
    assert world.options("new@example.com") == ["EU", "VIP"]
    assert world.controls.list_state(world.list_id)["Active"] == 1
    assert world.outcomes() == ["added", "updated"]


async def test_a_changed_address_keeps_who_left_away(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("old@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "old@example.com")
    world.change("new@example.com", "enter", "eu", 5, previous_email="old@example.com")
    await worker.rest()
    found = world.subscriber("new@example.com")
    assert found is not None
    assert found["State"] == "Unsubscribed"


async def test_a_late_event_of_a_former_address_follows_the_person(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("old@example.com", "enter", "vip", 1)
    await worker.rest()
    world.change("new@example.com", "enter", "eu", 50, previous_email="old@example.com")
    await worker.rest()
    world.change("old@example.com", "enter", "late", 20)
    await worker.rest()
    assert world.subscriber("old@example.com") is None
    assert world.options("new@example.com") == ["EU", "LATE", "VIP"]


async def test_a_new_email_field_value_changes_the_address_in_place(world: World) -> None:
    world.job(email_field="work")
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"work": "ann@work.example"})
    await worker.rest()
    world.change("ann@example.com", "enter", "eu", 2, user={"work": "ann@new.example"})
    await worker.rest()
    assert world.subscriber("ann@work.example") is None
    assert world.options("ann@new.example") == ["EU", "VIP"]
    assert world.controls.list_state(world.list_id)["Active"] == 1
