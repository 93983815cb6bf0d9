"""Plays the story against the running processes, and finds out how it ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import SecretStr

from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer
from connectors.control.jobs import Jobs
from connectors.devkit.simulator.controls.admin import SimulatorAdmin
from connectors.kafka.lag import LagReader
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from streams.demo import findings
from streams.demo.findings import Finding, active_by_segment, read_topics, reported
from streams.demo.machine import Machine
from streams.demo.story import (
    AUTHORIZATION_ID,
    DemoLists,
    Story,
    StoryRecord,
    export_jobs,
    import_job,
    make_story,
    sequel,
)
from streams.demo.supervisor import ShowLine

log = structlog.get_logger(__name__)

PEOPLE = 120
KNOWN_READERS = 20
LEAVERS = 5
QUIET_SECONDS = 3.0
"""Nothing moved for so long: what was sent has arrived. Webhooks gather for 20 ms."""
LAG_SECONDS = 1.0
"""To count what small differences hold; it takes milliseconds while the broker answers."""


class Demonstration:
    """The story, its people and lists, and the clients that it is played with."""

    def __init__(self, machine: Machine, kafka: KafkaSettings, report: ShowLine) -> None:
        self._machine = machine
        self._kafka = kafka
        self._report = report
        self._start = datetime.now(UTC) - timedelta(days=2)
        self.story: Story = make_story(people=PEOPLE, seed=7, start=self._start)
        self.lists: DemoLists
        self._left: set[str] = set()
        self._known = {f"person{number}@example.com" for number in range(KNOWN_READERS)}

    async def prepare(self, admin: SimulatorAdmin) -> None:
        """Put the authorization and the jobs on their topics, and some people on the list that is only updated."""
        titles = {entry["Title"]: entry for entry in await admin.find_lists()}
        self.lists = DemoLists(
            client_id=titles["Newsletter"]["ClientID"],
            everyone=titles["Audience export"]["ListID"],
            vip=titles["Offers"]["ListID"],
            readers=titles["Newsletter"]["ListID"],
        )
        for email in sorted(self._known):
            await admin.add_subscriber(self.lists.readers, email, self.story.users[email]["name"])
        await self.authorize()
        now = datetime.now(UTC)
        async with AsyncProducer(self._kafka, "demonstration") as producer, Jobs(self._kafka, producer) as jobs:
            for job in export_jobs(self.lists, now):
                await jobs.put(job)
            await jobs.put(import_job(self.lists, now))

    async def authorize(self) -> None:
        """Put the authorization on its topic, sealed with this start's key."""
        sealer = Sealer.from_settings(ControlSettings(encryption_key=SecretStr(self._machine.encryption_key)))
        async with (
            AsyncProducer(self._kafka, "demonstration") as producer,
            Authorizations(self._kafka, producer, sealer) as authorizations,
        ):
            await authorizations.put(
                AUTHORIZATION_ID, SecretStr(self._machine.api_key), description="The local Campaign Monitor"
            )

    async def play(self, admin: SimulatorAdmin) -> None:
        """Publish the story, let people act at Campaign Monitor, and publish what happens next."""
        await self._publish(self.story.records)
        self._report(f"published {len(self.story.records)} audience events of {PEOPLE} people")
        await self._quiet(admin)
        active = [s["EmailAddress"] for s in await admin.subscribers(self.lists.everyone) if s["State"] == "Active"]
        self._left = set(sorted(active)[:LEAVERS])
        for email in sorted(self._left):
            await admin.unsubscribe(self.lists.everyone, email)
        self._report(f"{len(self._left)} people unsubscribed at Campaign Monitor")
        await self._quiet(admin)
        comeback = sequel(self.story, sorted(self._left), datetime.now(UTC))
        await self._publish(comeback.records)
        self._report("upstream let the same people enter an audience again: none of them may be brought back")
        self.story = Story(
            self.story.records + comeback.records, comeback.audiences_of, comeback.users, self.story.unusable
        )
        await self._quiet(admin)

    async def findings(self, admin: SimulatorAdmin) -> list[Finding]:
        """Return what Kafka and Campaign Monitor hold, beside what they should."""
        topics = await read_topics(self._kafka)
        everyone, vip, readers = export_jobs(self.lists, self._start)
        on_list = {
            list_id: await admin.subscribers(list_id)
            for list_id in (self.lists.everyone, self.lists.vip, self.lists.readers)
        }
        summary = await admin.summary()
        found = [
            Finding("audience events published", len(topics["audience-membership"]), len(self.story.records)),
            Finding("dead letters of audience events", len(topics["audience-membership.dlq"]), self.story.unusable),
            Finding("calls to Campaign Monitor's API", sum(summary["calls"].values())),
            Finding("webhook posts received", summary["webhook_posts"]),
            *findings.everyone_list(on_list[self.lists.everyone], self.story, self._left, everyone.custom_field_name),
            *findings.segments(await active_by_segment(self._machine, self.lists.everyone), self.story, self._left),
            *findings.vip_list(on_list[self.lists.vip], self.story, vip.custom_field_name),
            *findings.readers_list(on_list[self.lists.readers], self.story, self._known, readers.custom_field_name),
            *findings.receipts(topics["audience-delivery"], self.story.usable),
            findings.imported_users(topics["cm_user"], await self._seeded(admin)),
            *findings.imported_activity(topics["cm_activity"], await reported(self._machine, self.lists.client_id)),
            findings.webhook_unsubscribes(topics["cm_activity"], self.lists.everyone, self._left),
            *findings.profiles(topics["cm_profile"], topics["cm_user"], topics["cm_activity"]),
            *(
                Finding(f"records on {role}", len(records))
                for role, records in topics.items()
                if records and not role.endswith(".dlq")
            ),
        ]
        return [*found, Finding("lag of all groups", await self._lag(), 0)]

    async def _seeded(self, admin: SimulatorAdmin) -> dict[str, set[str]]:
        """Return who was on the client's lists before the exports began."""
        return {
            entry["ListID"]: {
                subscriber["EmailAddress"]
                for subscriber in await admin.subscribers(entry["ListID"])
                if subscriber["EmailAddress"] not in self.story.users
                and not subscriber["EmailAddress"].endswith("@work.example")
            }
            for entry in await admin.find_lists()
            if entry["ClientID"] == self.lists.client_id
        }

    async def _publish(self, records: tuple[StoryRecord, ...]) -> None:
        topic = self._kafka.names()["audience-membership"]
        async with AsyncProducer(self._kafka, "upstream") as producer:
            await producer.publish_many(
                OutgoingRecord(topic, record.key, record.value, record.headers) for record in records
            )

    async def _quiet(self, admin: SimulatorAdmin) -> None:
        """Return when nothing waits in Kafka, no call is under way, and nothing has moved for a while."""

        async def signs() -> tuple[Any, ...]:
            summary = await admin.summary()
            return (
                await self._lag(),
                summary["in_flight"],
                sum(summary["calls"].values()),
                summary["webhook_posts"],
            )

        await until_steady(signs, QUIET_SECONDS, calm=lambda seen: seen[0] == 0 and seen[1] == 0)

    async def _lag(self) -> int:
        """Return the lag of all groups. Cancelled, it ends when its thread has: the broker is there until then."""
        reading = asyncio.ensure_future(asyncio.to_thread(self._read_lag))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait({reading}, timeout=LAG_SECONDS)
            raise

    def _read_lag(self) -> int:
        with LagReader(self._kafka, count_seconds=LAG_SECONDS) as reader:
            return sum(partition.lag for partition in reader.read())


async def until_steady(
    look: Callable[[], Awaitable[tuple[Any, ...]]],
    steady_seconds: float,
    *,
    calm: Callable[[tuple[Any, ...]], bool],
    within_seconds: float = 120.0,
) -> None:
    """Return when what `look` shows is calm and has not changed for so long. Raises TimeoutError."""
    deadline = time.monotonic() + within_seconds
    seen: tuple[Any, ...] | None = None
    since = time.monotonic()
    while True:
        now_seen = await look()
        now = time.monotonic()
        if now_seen != seen or not calm(now_seen):
            seen, since = now_seen, now
        if now - since >= steady_seconds:
            return
        if now > deadline:
            raise TimeoutError(f"not at rest after {within_seconds:.0f} s; last seen: {now_seen}")
        await asyncio.sleep(0.2)
