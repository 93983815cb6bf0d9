"""A check for each client of its own: one whose account is slow, or waits for its rate limit, holds up no other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)


RETRY_SECONDS = 1.0
"""Half of the wait after a first check that failed."""

CheckClient = Callable[[str], Awaitable[bool]]
"""Client id -> whether all of its lists are as they should be."""


@dataclass(slots=True)
class _Loop:
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


async def keep_checked(
    clients: Callable[[], Iterable[str]], check: CheckClient, changed: asyncio.Event, seconds: float
) -> None:
    """Check each client when `changed` is set, and every so often, until cancelled.

    `clients`: those that there are now, read when `changed` is set; each is checked by itself. What failed is tried
    again soon: after RETRY_SECONDS, then after twice as long, up to `seconds`.
    """
    loops: dict[str, _Loop] = {}
    try:
        while True:
            changed.clear()
            wanted = set(clients())
            for client_id in wanted | loops.keys():
                loop = loops.setdefault(client_id, _Loop())
                loop.changed.set()
                if client_id in wanted and (loop.task is None or loop.task.done()):
                    keeping = _keep(client_id, clients, check, loop.changed, seconds)
                    loop.task = asyncio.create_task(keeping, name=f"webhooks-{client_id}")
            await changed.wait()
    finally:
        tasks = [loop.task for loop in loops.values() if loop.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(
    client_id: str, clients: Callable[[], Iterable[str]], check: CheckClient, changed: asyncio.Event, seconds: float
) -> None:
    """Check one client until there is nothing of it any more."""
    pause = RETRY_SECONDS
    while client_id in set(clients()):
        changed.clear()
        done = False
        try:
            done = await check(client_id)
        except Exception:
            log.exception("webhooks could not be checked")
        pause = RETRY_SECONDS if done else min(pause * 2, seconds)
        try:
            async with asyncio.timeout(seconds if done else min(pause, seconds)):
                await changed.wait()
        except TimeoutError:
            continue
