"""Running a process: signals, a clean stop within its budget, and an end in any case."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
import uvloop

from streams.batches.core import killpoints
from streams.batches.core.errors import ExitCode, FatalError
from streams.batches.core.halt import halt
from streams.batches.core.settings import BatchSettings
from streams.batches.process.memory import Collector, Trimmer, observe_memory, use_one_heap

log = structlog.get_logger(__name__)


def run_process(
    settings: BatchSettings, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> NoReturn:
    """Start, wait for SIGTERM or SIGINT, stop, end the process with its exit code; never returns."""
    use_one_heap()
    killpoints.from_environment(os.environ)
    try:
        uvloop.install()
        asyncio.run(_run(settings, start, stop))
    except FatalError as error:
        halt(error.exit_code, str(error))
    except Exception as error:
        log.exception("process failed")
        halt(ExitCode.FATAL, repr(error))
    halt(ExitCode.CLEAN, "stopped")
    raise SystemExit(0)  # only where halt was replaced


async def _run(
    settings: BatchSettings, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    collector = Collector(settings.gc_threshold)
    collector.freeze()
    collecting = loop.create_task(observe_memory(collector, Trimmer()))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await start()
    log.info("running", app=settings.app_id)
    await stopped.wait()
    collecting.cancel()
    # A timer thread, not the loop: it must end the process also when the loop hangs.
    timer = threading.Timer(
        settings.stop_seconds, halt, (ExitCode.STOP_TIMEOUT, "the clean stop took too long"), {"stacks": True}
    )
    timer.daemon = True
    timer.start()
    await stop()
    timer.cancel()
