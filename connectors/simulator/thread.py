"""The simulator in a thread of its own, for clients that block."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from connectors.simulator.server import Simulator
from connectors.simulator.settings import SimulatorSettings

_START_SECONDS = 30.0


class SimulatorThread(Simulator):
    """`with SimulatorThread(SimulatorSettings(demo=True)) as sim: ...`; controls act through `call`."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        super().__init__(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def call(self, verb: str, **arguments: object) -> object:
        """Carry out a verb of `Controls` on the simulator's own loop and return its result."""

        async def act() -> object:
            result: object = self.controls.do(verb, arguments)
            return result

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(_START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(_START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(_START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
