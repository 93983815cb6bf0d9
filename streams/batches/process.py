"""The life of a process: signals, a clean stop within its budget, and an end in any case."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

import structlog
import uvloop

from . import killpoints
from .collector import Collector
from .errors import ExitCode, FatalError
from .halt import halt
from .memory import use_one_heap

if TYPE_CHECKING:
    from .app import BatchApp

log = structlog.get_logger(__name__)
use_one_heap()  # at import: clients that are made before the process runs have threads already


Step = Callable[[], Awaitable[None]]


def run_process(app: BatchApp, *, start: Step | None = None, stop: Step | None = None) -> NoReturn:
    """Run the app until a signal; never returns.

    `start` and `stop` stand in for the app's own where there is more to start and stop around it.
    """
    killpoints.from_environment(os.environ)
    try:
        uvloop.install()
        asyncio.run(_run(app, start or app.start, stop or app.stop))
    except FatalError as error:
        halt(error.exit_code, str(error))
    except Exception as error:
        log.exception("process failed")
        halt(ExitCode.FATAL, repr(error))
    halt(ExitCode.CLEAN, "stopped")
    raise SystemExit(0)  # only where halt was replaced


async def _run(app: BatchApp, start: Step, stop: Step) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    collector = Collector(app.settings.gc_threshold)
    collector.take_over()
    collecting = loop.create_task(collector.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await start()
    log.info("running", app=app.settings.app_id)
    await stopped.wait()
    collecting.cancel()
    # A timer thread, not the loop: it must end the process also when the loop hangs.
    timer = threading.Timer(
        app.settings.stop_seconds, halt, (ExitCode.STOP_TIMEOUT, "the clean stop took too long"), {"stacks": True}
    )
    timer.daemon = True
    timer.start()
    await stop()
    timer.cancel()
