"""Posts webhook events as Campaign Monitor does, over some connections at once, and times each post.

Options: URL, list id, events a post, connections.
"""

import asyncio
import sys
import time
from statistics import quantiles

import aiohttp
import orjson
import uvloop

from benchmarks.job import Job, Stopwatch


def body(list_id: str, first: int, events: int) -> bytes:
    """Return a post: people subscribe, one after the other."""
    events = [
        {
            "Type": "Subscribe",
            "Date": f"2026-06-{1 + number // 86_400 % 28:02d} {number // 3_600 % 24:02d}:{number // 60 % 60:02d}:00",
            "State": "Active",
            "EmailAddress": f"person{number}@example.com",
            "Name": "Ada Lovelace",
            "CustomFields": [{"Key": "City", "Value": "London"}, {"Key": "Plan", "Value": "gold"}],
            "SignupIPAddress": "192.0.2.7",
        }
        for number in range(first, first + events)
    ]
    return orjson.dumps({"ListID": list_id, "Events": events})


async def post_all(job: Job) -> None:
    """Post everything and report."""
    url, list_id, events, connections = job.options[0], job.options[1], int(job.options[2]), int(job.options[3])
    posts = [body(list_id, 1 + first, events) for first in range(0, job.events, events)]
    waiting = iter(posts)
    seconds: list[float] = []
    stopwatch = Stopwatch()

    async def post(session: aiohttp.ClientSession) -> None:
        for payload in waiting:
            started = time.perf_counter()
            async with session.post(url, data=payload, headers={"Content-Type": "application/json"}) as answer:
                if answer.status != 200:
                    raise SystemExit(f"a post was answered {answer.status}")
            seconds.append(time.perf_counter() - started)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        stopwatch.start()
        await asyncio.gather(*(post(session) for _ in range(connections)))
    cuts = quantiles(seconds, n=100, method="inclusive")
    stopwatch.report(job.events, p50_ms=round(cuts[49] * 1000, 2), p99_ms=round(cuts[98] * 1000, 2))


if __name__ == "__main__":
    uvloop.run(post_all(Job.from_arguments(sys.argv[1:])))
