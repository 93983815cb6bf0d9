"""Two workers, killed again and again while events come, many of them twice: every profile is right in the end."""

import asyncio
import random
import signal
import socket
from collections import Counter, defaultdict

import pytest

from tests.deadline import eventually
from tests.integration.profile.test_aggregator import activity

PEOPLE, EVENTS, KILLS, MOVERS = 300, 20_000, 12, 20
SEED = 20_250_101


def story(rnd: random.Random):
    """Events in the order in which they are published; one in five is told twice. A few people change their address
    when everything else about them has been told."""
    events = []
    for number in range(EVENTS):
        event = rnd.choices(["sent", "open", "click", "bounce"], [70, 20, 5, 5])[0]
        told = activity(f"p{rnd.randrange(PEOPLE)}@x.com", number % 3600, event, campaign_id=f"k{rnd.randrange(8)}")
        events.append(told | {"event_id": f"{number:032x}"})
    again = rnd.sample(events, EVENTS // 5)
    told = events + again
    rnd.shuffle(told)
    moves = [
        activity(f"moved{n}@x.com", 3599, "update", old_email=f"p{n}@x.com") | {"event_id": f"{10**6 + n:032x}"}
        for n in range(MOVERS)
    ]
    return events, told, moves


def promised(events, moves):
    """What each profile must say: written from the contract, with nothing of the aggregator's in it."""
    address = {move["old_email"]: move["email"] for move in moves}
    kinds: dict[str, Counter] = defaultdict(Counter)
    campaigns: dict[str, set[str]] = defaultdict(set)
    for event in [*events, *moves]:
        who = address.get(event["email"], event["email"])
        kinds[who][event["event"]] += 1
        if "campaign_id" in event:
            campaigns[who].add(event["campaign_id"])
    return {who: (dict(kinds[who]), sorted(campaigns[who])) for who in kinds}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


async def more_written(world, before):
    return len(await world.records("cm_profile")) > before


def told_by(profiles):
    return {who: (it["cm_email_event"], it.get("cm_campaign_ids", [])) for who, it in profiles.items()}


@pytest.mark.slow
async def test_kills_lose_nothing_and_count_nothing_twice(world):
    rnd = random.Random(SEED)
    events, told, moves = story(rnd)
    wanted = promised(events, moves)
    ports = {"one": free_port(), "two": free_port()}

    def start(name):
        return world.process(
            name, PROFILE_INSTANCE_ID=name, PROFILE_HTTP_PORT=ports[name], PROFILE_MAX_BATCH_RECORDS="200"
        )

    workers = {name: start(name) for name in ports}
    try:
        share, written = len(told) // KILLS, 0
        for turn in range(KILLS):
            last = turn == KILLS - 1
            await world.publish("cm_activity", *told[turn * share : None if last else (turn + 1) * share])
            if turn == KILLS // 2:
                await world.publish("cm_activity", *moves)
            name = rnd.choice(list(workers))
            await eventually(lambda written=written: more_written(world, written))  # it is at work
            written = len(await world.records("cm_profile"))
            workers[name].send_signal(signal.SIGKILL)
            await asyncio.to_thread(workers[name].wait)
            workers[name] = start(name)

        async def right():
            return told_by(await world.profiles()) == wanted

        await eventually(right, seconds=120, every=1)
    finally:
        for process in workers.values():
            process.terminate()
            await asyncio.to_thread(process.wait, 30)

    assert told_by(await world.profiles()) == wanted
    async with world.running("empty disk") as worker:
        await world.publish("cm_activity", activity("p299@x.com", 1, "open") | {"event_id": f"{10**7:032x}"})
        await worker.app.settled()
    wanted["p299@x.com"][0]["open"] = wanted["p299@x.com"][0].get("open", 0) + 1
    assert told_by(await world.profiles()) == wanted
