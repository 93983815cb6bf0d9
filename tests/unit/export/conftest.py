"""The world of the export's tests."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.devkit.simulator import Simulator, SimulatorSettings
from tests.unit.export.export_world import FastLoop, World


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return FastLoop()


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """Waits are short."""
    return _Policy()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A fresh world, whose worker is ended with the test."""
    async with Simulator(SimulatorSettings()) as simulator:
        world = World(simulator)
        yield world
        if world.worker is not None:
            await world.worker.crash()
