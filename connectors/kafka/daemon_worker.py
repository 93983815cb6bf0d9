"""One thread that blocking calls are handed to, and that never keeps its process from ending.

A pool of concurrent.futures joins its threads when the interpreter ends. A call into librdkafka that does not come back
(seen: sending offsets to a transaction, after the broker was killed, in spite of its timeout) would then hold a process
that was told to stop, for ever.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

Work = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class DaemonWorker:
    """Runs calls one after another."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Hand over a call; the future ends with what it returned or raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.put((call, loop, future))
        return future

    def close(self) -> None:
        """End after the calls that were handed over."""
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            call, loop, future = work
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_end, future, result, failure)


def _end(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
