"""The demonstration's story: people, the audience events that upstream publishes about them, and how it must end.

Pure and deterministic. The expected end is computed here from the story itself, by a model of ten lines that shares
nothing with the code under test.

Its jobs use every option of an export and of an import once between them.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from schemas.control import ConsentRule, ExportJob, FieldMapping, ImportJob

AUDIENCES = {
    "aud-vip": "VIP",
    "aud-vip-eu": "VIP EU",
    "aud-readers": "Newsletter readers",
    "aud-winback": "Win back",
    "aud-cart": "Abandoned cart",
}
CITIES = ("Ghent", "Oslo", "Porto", "Kraków", "Łódź", "São Paulo", "Kyoto", "Leeds")
PLANS = ("free", "plus", "pro")

AudienceEvent = tuple[datetime, str, str, str]
"""When, who, which audience, enter or exit."""


@dataclass(frozen=True, slots=True)
class StoryRecord:
    """One Kafka record as upstream publishes it."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """What is published, and the audiences (by name) that each person is in when it is over."""

    records: tuple[StoryRecord, ...]
    audiences_of: dict[str, frozenset[str]]
    users: dict[str, dict[str, Any]]
    unusable: int

    @property
    def usable(self) -> int:
        """How many records a reader can use."""
        return len(self.records) - self.unusable


def make_story(*, people: int, seed: int, start: datetime) -> Story:
    """Return the story of so many people; `start` is when the first event happened (event time)."""
    random_source = random.Random(seed)
    users = {f"person{number}@example.com": _user(number, random_source, start) for number in range(people)}
    events: list[AudienceEvent] = []
    for email in users:
        events += _life(email, random_source, start)
    events.sort()
    order = _late_and_repeated(events, random_source)
    records = [_change(event, users) for event in order]
    unusable = [
        StoryRecord(b"person1@example.com", b"{not json"),
        StoryRecord(b"nobody", orjson.dumps(_body("not an address", "enter", "aud-vip", start, {}))),
        StoryRecord(b"person2@example.com", orjson.dumps({"email": "person2@example.com", "change": "sideways"})),
    ]
    for number, record in enumerate(unusable):
        records.insert((number + 1) * len(records) // 4, record)
    snapshot_of, snapshot = _snapshot(users, start + timedelta(hours=30))
    records.append(snapshot)
    audiences_of = dict(_final_audiences(events))
    audiences_of[snapshot_of] = frozenset({"VIP", "Win back"})
    return Story(tuple(records), {email: audiences_of.get(email, frozenset()) for email in users}, users, len(unusable))


def sequel(story: Story, people: Sequence[str], at: datetime) -> Story:
    """Return what happens next: these people enter one more audience, also if they left Campaign Monitor's list."""
    audience = "aud-cart"
    records = tuple(_change((at, email, audience, "enter"), story.users) for email in people)
    entered = {email: story.audiences_of[email] | {AUDIENCES[audience]} for email in people}
    return Story(records, {**story.audiences_of, **entered}, story.users, 0)


def _user(number: int, random_source: random.Random, start: datetime) -> dict[str, Any]:
    first = random_source.choice(("Ann", "Bo", "Chloë", "Dai", "Eve", "Finn", "Gül", "Hana"))
    return {
        "name": f"{first} Example {number}",
        "full_name": f"{first} E. Example",
        "work_email": f"{first.encode('ascii', 'ignore').decode().lower()}.{number}@work.example",
        "city": random_source.choice(CITIES),
        "plan": random_source.choice(PLANS),
        "points": number * 10,
        "member_since": f"{2015 + number % 10}-{1 + number % 12:02d}-{1 + number % 28:02d}",
        "consent_at": (start - timedelta(days=number % 50)).isoformat(),
    }


def _life(email: str, random_source: random.Random, start: datetime) -> Iterator[AudienceEvent]:
    """Yield one person's enters and exits over a day: (when, who, which audience, change)."""
    for audience in random_source.sample(sorted(AUDIENCES), random_source.randint(1, 3)):
        at = start + timedelta(seconds=random_source.randint(0, 20_000))
        change = "enter"
        for _step in range(random_source.choice((1, 1, 2, 3))):
            yield at, email, audience, change
            at += timedelta(seconds=random_source.randint(1, 20_000))
            change = "exit" if change == "enter" else "enter"


def _late_and_repeated(events: list[AudienceEvent], random_source: random.Random) -> list[AudienceEvent]:
    """Return the events with every twentieth one out of order, and every thirtieth one twice."""
    order = list(events)
    for index in range(0, len(order) - 10, 20):
        order.insert(index + random_source.randint(2, 9), order.pop(index))
    return [event for index, event in enumerate(order) for _copy in range(2 if index % 30 == 7 else 1)]


def _final_audiences(events: list[AudienceEvent]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each person's audiences at the end: the last change by event time wins, per audience."""
    last: dict[tuple[str, str], str] = {}
    for _at, email, audience, change in sorted(events):
        last[email, audience] = change
    for person in {email for email, _audience in last}:
        yield (
            person,
            frozenset(
                AUDIENCES[audience]
                for (email, audience), change in last.items()
                if email == person and change == "enter"
            ),
        )


def _change(event: AudienceEvent, users: dict[str, dict[str, Any]]) -> StoryRecord:
    at, email, audience, change = event
    return StoryRecord(email.encode(), orjson.dumps(_body(email, change, audience, at, users[email])))


def _body(email: str, change: str, audience: str, at: datetime, user: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "email": email,
        "change": change,
        "audience": {"id": audience, "name": AUDIENCES[audience]},
        "at": at.astimezone(UTC).isoformat(),
        "user": user,
    }


def _snapshot(users: dict[str, dict[str, Any]], at: datetime) -> tuple[str, StoryRecord]:
    """Return whose audiences are stated as a whole, and the record that does it."""
    email = next(iter(users))
    body = {
        "schema_version": 1,
        "email": email,
        "change": "snapshot",
        "audiences": [{"id": audience, "name": AUDIENCES[audience]} for audience in ("aud-vip", "aud-winback")],
        "at": at.astimezone(UTC).isoformat(),
        "user": users[email],
    }
    return email, StoryRecord(email.encode(), orjson.dumps(body))


AUTHORIZATION_ID = "demo-account"


@dataclass(frozen=True, slots=True)
class DemoLists:
    """The local Campaign Monitor's client and lists that the demonstration works on."""

    client_id: str
    everyone: str
    """An empty list: all audiences, with the options that most people choose."""
    vip: str
    """A list with subscribers: one audience, with every option that is off by default."""
    readers: str
    """A list with subscribers: known people are updated, nobody is added."""


def export_jobs(lists: DemoLists, now: datetime) -> tuple[ExportJob, ...]:
    """Return the three export jobs; all of them started long enough ago to count the whole story."""
    shared: dict[str, Any] = {
        "authorization_id": AUTHORIZATION_ID,
        "client_id": lists.client_id,
        "created_at": now,
        "updated_at": now,
        "started_at": now - timedelta(days=30),
    }
    everyone = ExportJob(
        id="export-everyone",
        name="All audiences",
        list_id=lists.everyone,
        existing_users=True,
        queue_autoresponders=True,
        field_mappings=[
            FieldMapping(user_field="city", custom_field="City"),
            FieldMapping(user_field="points", custom_field="Points", data_type="Number"),
            FieldMapping(user_field="member_since", custom_field="Member since", data_type="Date"),
            FieldMapping(user_field="plan", custom_field="Plan", data_type="MultiSelectOne"),
        ],
        consent_to_track="Yes",
        removal_guard=1.0,
        **shared,
    )
    vip = ExportJob(
        id="export-vip",
        name="VIPs, by their address at work",
        list_id=lists.vip,
        audiences=["aud-vip"],
        existing_users=True,
        resubscribe_users=True,
        restart_autoresponders=True,
        consent_rule=ConsentRule(user_field="consent_at"),
        email_field="work_email",
        name_field="full_name",
        custom_field_name="Status",
        segment_name="Status: {audience}",
        on_last_exit="unsubscribe",
        removal_guard=1.0,
        **shared,
    )
    readers = ExportJob(
        id="export-readers",
        name="Readers who are subscribers already",
        list_id=lists.readers,
        audiences=["Newsletter readers", "Win back"],
        existing_users=True,
        update_only=True,
        on_last_exit="delete",
        removal_guard=1.0,
        **shared,
    )
    return everyone, vip, readers


def import_job(lists: DemoLists, now: datetime) -> ImportJob:
    """Return the import job: all lists of the client, kept updated."""
    return ImportJob(
        id="import-acme",
        name="Everything of one client",
        authorization_id=AUTHORIZATION_ID,
        client_id=lists.client_id,
        keep_updated=True,
        interval_seconds=3600,
        created_at=now,
        updated_at=now,
    )
