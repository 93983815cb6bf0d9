"""An event loop whose clock runs faster than the world's: a back-off of a second takes milliseconds."""

import asyncio
import selectors
import time
from typing import Any


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # which selector it is depends on the system
    speed = 1.0

    def select(self, timeout: float | None = None) -> Any:
        """Wait for the shorter time that the loop's clock means."""
        return super().select(timeout if timeout is None or timeout <= 0 else timeout / self.speed)


class FastLoop(asyncio.SelectorEventLoop):
    """`loop.time()` passes `speed` times as fast."""

    def __init__(self, speed: float = 30.0) -> None:
        selector = _Selector()
        selector.speed = speed
        self._speed = speed
        self._began = time.monotonic()
        super().__init__(selector)

    def time(self) -> float:
        """The loop's clock, in seconds of its own."""
        return self._began + (time.monotonic() - self._began) * self._speed
