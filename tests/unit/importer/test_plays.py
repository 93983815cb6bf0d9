"""Plays of job edits, refusals, stops, crashes, churn and late rows: at rest each row is there once, by the books."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.readers import reader as readers
from tests.integration.importer.importing import (
    books_activity,
    books_users,
    ids,
    import_job,
    published_activity,
    published_users,
    values,
)
from tests.unit.importer.import_world import ImportWorld
from tests.unit.importer.test_other_jobs import is_repeat
from tests.unit.importer.test_zone_of_runs import ARIZONA, TOKYO, choose_zone

KINDS = ["sent", "open", "click", "unsubscribe", "bounce", "spam"]
REFUSED = (
    "/campaigns/*/opens*",
    "/campaigns/*/clicks*",
    "/campaigns/*/recipients*",
    "/campaigns/*/summary*",
    "/clients/*/journeys*",
    "/clients/*/campaigns*",
    "/journeys/email/*/opens*",
    "/lists/*/active*",
    "/lists/*/unsubscribed*",
)
DAY = 86_400
ACTS = ["lists", "kinds", "since", "refuse", "heal", "state", "crash", "row", "row", "churn", "zone", "again"]
ZONES = [TOKYO, ARIZONA, "(GMT) Coordinated Universal Time", "(GMT+05:30) Chennai, Kolkata, Mumbai, New Delhi"]
"""Of clocks that do not change: the rows of listings have other ids where one does."""


async def play(seed: int) -> None:
    """Play one story, and compare what was published with the simulator's books."""
    dice = random.Random(seed)
    story: list[str] = []
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, name) for name in ("News", "Offers")]
        controls.seed_subscribers(lists[0], 70)
        controls.seed_subscribers(lists[1], 30, first_person=50)
        mails = [
            controls.add_campaign(lists, "Spring", days_ago=9, opens=60, clicks=25, unsubscribes=3, bounces=2, days=3),
            controls.add_campaign([lists[0]], "Old", days_ago=40, recipients=30, opens=25, clicks=5, spam=1),
        ]
        controls.add_journey(lists[1], "Welcome", mails=1, sent=20, opens=15, clicks=5, unsubscribes=1)
        since_is_edited = dice.random() < 0.3  # rows that come late before another start are found by a full read only
        is_recreated = not since_is_edited and dice.random() < 0.4
        late_rows = since_is_edited or is_recreated  # nor is it known whether a removed job has published one
        job = import_job(client, lists=dice.choice([[], lists[:1]]), activities=dice.choice([KINDS, KINDS[1:3]]))
        if since_is_edited:
            job = job.model_copy(update={"since": datetime.now(UTC) - timedelta(days=5)})

        async def act(world: ImportWorld) -> str:
            now = simulator.state.clock.time()
            match dice.choice(ACTS):
                case "lists":
                    world.change(lists=dice.choice([[], lists[:1], lists[1:], lists]))
                    return f"lists {len(world.job.lists)}"
                case "kinds":
                    world.change(activities=sorted(dice.sample(KINDS, dice.randint(1, 6)), key=KINDS.index))
                    return f"kinds {world.job.activities}"
                case "since" if since_is_edited:
                    days = dice.choice([None, 5, 20, 60])
                    world.change(since=None if days is None else datetime.now(UTC) - timedelta(days=days))
                    return f"since {days} days"
                case "refuse":
                    path = dice.choice(REFUSED)
                    status = dice.choice([{"status": 403, "code": 403}, {"status": 404, "code": 101}, {"status": 500}])
                    controls.inject(kind="status", path=path, count=dice.choice([1, 3, None]), **status)
                    return f"refuse {path} {status['status']}"
                case "heal":
                    controls.clear_faults()
                    return "heal"
                case "state":
                    world.change(state=dice.choice(["running", "stopped"]))
                    return world.job.state
                case "crash":
                    world.crash()
                    return "crash"
                case "row":
                    mail = dice.choice(mails)
                    people = simulator.state.campaigns[mail].recipients
                    email = people.email(dice.randrange(len(people)))
                    late = 0 if late_rows else dice.choice([0, 600, 2 * DAY, 8 * DAY])
                    dice.choice([controls.open, controls.click])(mail, email, at=now - late)
                    return f"row {late} s late"
                case "churn":
                    found = controls.subscribers(lists[0], "Active", limit=40)
                    if found:
                        controls.unsubscribe(
                            lists[0], dice.choice(found)["EmailAddress"], dice.choice([None, mails[0]])
                        )
                    return "churn"
                case "zone":
                    label = dice.choice(ZONES)
                    choose_zone(simulator, client, label)
                    world.crash()  # as late as the next look at the client's zone
                    return f"zone {label}"
                case "again" if is_recreated:
                    controls.clear_faults()
                    world.change(state="running")
                    await world.work()
                    world.ask_for_a_run()
                    await world.work()  # of a read that is not at its end it is not known what it has published
                    world.remove()
                    world.change(id=f"job {len(story)}" if dice.random() < 0.5 else world.job.id)
                    return f"removed and created again as {world.job.id}"
            return ""

        async with ImportWorld(simulator, job, seed) as world:
            for _turn in range(dice.randint(4, 14)):
                story.append(await act(world))
                world.ask_for_a_run()
                await world.work(dice.choice([0, 3, 20, 60, 400]))
            controls.clear_faults()
            world.change(state="running", lists=[], activities=KINDS, since=None)
            for _run in range(4):
                await world.work()
                world.ask_for_a_run()
            await world.work()
            problem = f"seed {seed}: {'; '.join(filter(None, story))}"
            once = [record for record in world.published if not is_repeat(record)]
            people = [record for record in once if record.topic == "cm_user"]
            activity = [record for record in once if record.topic == "cm_activity"]
            assert published_activity(activity, moment_of) == books_activity(simulator, moment_at), problem
            repeated = [name for name, count in Counter(ids(people)).items() if count > 1]
            assert not repeated, problem
            assert set(books_users(simulator, client)) <= set(published_users(people)), problem
            assert max(Counter(acts(activity)).values()) == 1, problem
            before = len(world.published)
            world.ask_for_a_run()
            await world.work()
            assert len(world.published) == before, f"{problem}; and nothing new is published by another run"


def moment_of(value: dict[str, Any]) -> str:
    """When a published row was, to the minute."""
    return str(value["at"])[:16]


def moment_at(at: int, _zone: ZoneInfo) -> str:
    """When a row of the books was."""
    return datetime.fromtimestamp(at, UTC).isoformat()[:16]


def acts(activity: list) -> list[tuple[str, bool]]:
    """The ids of activity, and whether it is of a listing: a report may hold later what a listing showed first."""
    return [(value["event_id"], value["source"] == "webhook") for value in values(activity)]


async def play_stories(first: int, count: int) -> None:
    """Play so many stories."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(readers, "MIN_PAGES_PER_CHAIN", 2)
        for seed in range(first, first + count):
            await play(seed)


@pytest.mark.parametrize("first", [0, 5, 10])
async def test_at_rest_each_row_is_there_once(first):
    await play_stories(first, 5)
