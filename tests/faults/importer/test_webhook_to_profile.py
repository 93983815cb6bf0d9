"""One unsubscribe, reported by a webhook again and again, by a campaign's report and by a poll, is one in the profile.

Receivers and connectors are killed, posts repeated and reordered, a webhook is switched off for a while. Then every
profile is compared with the simulator's own books, event by event. `FAULT_KILLS` says how often the receiver is killed.
"""

import asyncio
import random
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.control.jobs import Jobs
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.body import VERIFY
from streams.process import StreamsSettings
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker
from tests.deadline import eventually
from tests.faults.importer.processes import ConnectorProcesses, ReceiverProcess
from tests.faults.importer.test_kills import KILLS, SEED, settings
from tests.integration.importer.importing import (
    REPORT_OF,
    ask_for_a_run,
    books_activity,
    finished,
    import_job,
    progress,
    topic,
    values,
)

ACTS_PER_KILL = 60
MIN_OBLIGATIONS = 1_000
EVENT_OF = {report: event for event, report in REPORT_OF.items()}

EventCounts = defaultdict[str, Counter[str]]
"""Address -> event -> how often."""


class World:
    """People who act, and what their acts come to: kept apart from the code that is tested."""

    def __init__(self, simulator: Simulator, people: int, chance: random.Random) -> None:
        self._simulator = simulator
        self._controls = controls = simulator.controls
        self._chance = chance
        self.client = controls.add_client("Acme", "(GMT+10:00) Canberra, Melbourne, Sydney")
        self.news = controls.add_list(self.client, "News")
        controls.seed_subscribers(self.news, people, all_active=True, until="2026-01-01T00:00:00+00:00")
        self.campaign = controls.add_campaign([self.news], "Spring", days_ago=2, opens=people, clicks=people // 4)
        self.people = [row["EmailAddress"] for row in controls.subscribers(self.news)]
        self.left: set[str] = set()
        self._by_webhook_only: EventCounts = defaultdict(Counter)

    def act(self, email: str) -> None:
        """Let a person do one thing. What a report holds as well is not counted here, but from the report."""
        match self._chance.choice(("unsubscribe", "unsubscribe from a mail", "bounce", "delete", "edit")):
            case "unsubscribe":
                self.unsubscribe(email)
            case "unsubscribe from a mail":
                self._controls.unsubscribe(self.news, email, self.campaign)
                self.left.add(email)
            case "bounce":
                self._controls.hard_bounce(self.news, email, self.campaign)
                self._by_webhook_only[email]["deactivate"] += 1  # the report has a bounce, another event
            case "delete":
                self._controls.delete_subscriber(self.news, email)
                self._by_webhook_only[email]["deactivate"] += 1
            case "edit":
                self._controls.edit_profile(self.news, email, name="Another Name")
                self._by_webhook_only[email]["update"] += 1

    def unsubscribe(self, email: str) -> None:
        """Let a person leave by a link that is in no campaign."""
        self._controls.unsubscribe(self.news, email)
        self.left.add(email)
        self._by_webhook_only[email]["deactivate"] += 1

    def books(self) -> EventCounts:
        """What every profile must hold."""
        wanted: EventCounts = defaultdict(Counter)
        for (report, _mail, email, _date), times in books_activity(self._simulator).items():
            wanted[email][EVENT_OF[report]] += times
        for email, counts in self._by_webhook_only.items():
            wanted[email] += counts
        return wanted


def profiles(kafka: KafkaSettings) -> dict[str, dict[str, Any]]:
    newest = {(record.key or b"").decode(): record.value for record in topic(kafka, "cm_profile")}
    return {email: orjson.loads(value) for email, value in newest.items() if value is not None}


def at_rest(kafka: KafkaSettings) -> bool:
    return not any(record.kind == "chain" and record.state in ("open", "parked") for record in progress(kafka).values())


def reached(kafka: KafkaSettings, people: set[str]) -> bool:
    return people <= {value["email"] for value in values(topic(kafka, "cm_activity")) if value["event"] == "deactivate"}


@pytest.mark.slow
@pytest.mark.timeout(240 + 20 * KILLS)
async def test_nothing_is_counted_twice(bootstrap_servers: str, namespace: str, tmp_path: Path) -> None:
    print(f"FAULT_SEED={SEED}")
    chance = random.Random(SEED)
    kafka = settings(bootstrap_servers, namespace)
    troubled = SimulatorSettings(
        seed=SEED,
        latency_ms=5,
        webhook_max_batch=15,
        webhook_linger_ms=1,
        webhook_retry_first_seconds=0.1,
        webhook_retry_max_seconds=0.3,
        webhook_duplicate_probability=0.1,
        webhook_reorder_probability=0.2,
    )
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(troubled))
        producer = await stack.enter_async_context(AsyncProducer(kafka, "test"))
        jobs = await stack.enter_async_context(Jobs(kafka, producer))
        world = World(simulator, max(400, ACTS_PER_KILL * KILLS + 50), chance)
        await jobs.put(import_job(world.client, keep_updated=True))
        worker = ProfileWorker(
            StreamsSettings(data_dir=tmp_path / "profiles"),
            kafka,
            ProfileSettings(api_token="a-token-for-tests"),
            commit_interval_seconds=0.2,
            fetch_max_wait_milliseconds=100,
            create_topics=False,
        )
        await worker.start()
        stack.push_async_callback(worker.stop)
        receiver = ReceiverProcess(kafka, simulator, tmp_path, check_seconds=1)
        stack.callback(receiver.end)
        connectors = ConnectorProcesses(1, kafka, simulator.base_url, simulator.api_key, tmp_path, page_size=20)
        stack.callback(connectors.end)
        hooks = simulator.state.lists[world.news].webhooks
        # Before it a second webhook is tried out and removed again; what people do meanwhile is posted to nobody.
        await eventually(lambda: [hook for hook in hooks.values() if _is_the_real(hook.url)], seconds=60, every=0.1)

        late = world.people[ACTS_PER_KILL * KILLS :][:10]
        for number in range(KILLS):
            for email in world.people[number * ACTS_PER_KILL : (number + 1) * ACTS_PER_KILL]:
                world.act(email)
                await asyncio.sleep(0.002)
            await asyncio.sleep(chance.random() * 0.1)
            receiver.kill()
            if number % 4 == 1:
                connectors.kill(0)
        await simulator.webhooks_sent(90)

        (hook,) = hooks.values()
        hook.active = False
        for email in late:
            world.unsubscribe(email)
        await eventually(lambda: hook.active, seconds=60, every=0.1)
        await eventually(lambda: asyncio.to_thread(reached, kafka, set(late)), seconds=90, every=0.3)
        await simulator.webhooks_sent(60)
        await finished(kafka, seconds=120)
        await ask_for_a_run(kafka)
        await finished(kafka, 2, seconds=120)
        await eventually(lambda: asyncio.to_thread(at_rest, kafka), seconds=90, every=0.3)
        assert (receiver.stop(), await connectors.stop()) == (0, [0])
        await worker.app.settled()

        wanted = world.books()
        found = await asyncio.to_thread(profiles, kafka)
        activity = await asyncio.to_thread(lambda: values(topic(kafka, "cm_activity")))
    by_source = defaultdict(set)
    for value in activity:
        if value["event"] == "deactivate" and value["status"] == "unsubscribe":
            by_source[value["source"]].add(value["event_id"])
    repeats = len(activity) - len({value["event_id"] for value in activity})
    print(
        f"{len(activity)} events, {repeats} repeats, unsubscribes by source "
        f"{ ({k: len(v) for k, v in by_source.items()}) }"
    )
    assert sum(sum(events.values()) for events in wanted.values()) >= MIN_OBLIGATIONS, "too few to prove anything"
    assert by_source["campaign"] & by_source["webhook"], "void: nobody was reported in both ways"
    assert {email: Counter(profile.get("cm_email_event", {})) for email, profile in found.items()} == wanted
    unsubscribed = {email for email, profile in found.items() if "cm_unsub_ts" in profile}
    assert unsubscribed == world.left | by_report(simulator)


def _is_the_real(url: str) -> bool:
    return not url.endswith(f"/{VERIFY}")


def by_report(simulator: Simulator) -> set[str]:
    """Who unsubscribed by the seeded rows of a report."""
    return {email for (report, _mail, email, _date) in books_activity(simulator) if report == "unsubscribes"}
