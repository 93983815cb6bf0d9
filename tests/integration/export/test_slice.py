"""The whole way: an event on Kafka becomes a subscriber with field, option and segment, and a receipt."""

import asyncio
from collections.abc import Callable
from typing import Any

from streams.export.worker import ExportWorker


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something is true; fails when it is not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "not in time"
        await asyncio.sleep(0.02)


async def at_rest(worker: ExportWorker) -> None:
    """Wait until everything published has been folded and sent."""
    await worker.app.settled()
    await until(worker.runner.idle)


async def test_an_enter_adds_and_an_exit_removes(world: Any) -> None:
    """Field and option are made, the segment's rule names exactly the option, and each change has its receipt."""
    world.job()
    world.change("ann@example.com", "enter", "vip", 1, name="Ann")
    world.change("bob@example.com", "enter", "vip", 1)
    world.producer.flush()
    controls = world.simulator.controls
    async with world.worker() as worker:
        await until(lambda: controls.subscriber(world.list_id, "ann@example.com"))
        await at_rest(worker)
        ann = controls.subscriber(world.list_id, "ann@example.com")
        assert ann["Name"] == "Ann"
        assert ann["State"] == "Active"
        assert {"Key": "Lytics Audiences", "Value": "VIP"} in ann["CustomFields"]
        world.change("ann@example.com", "exit", "vip", 5)
        world.producer.flush()
        await at_rest(worker)
        await until(lambda: not controls.subscriber(world.list_id, "ann@example.com")["CustomFields"])
    outcomes = sorted((receipt["email"], receipt["outcome"]) for receipt in world.receipts())
    assert outcomes == [
        ("ann@example.com", "added"),
        ("ann@example.com", "removed"),
        ("bob@example.com", "added"),
    ]
