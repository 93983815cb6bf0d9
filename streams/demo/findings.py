"""What the demonstration must end with, compared with what the topics and the local Campaign Monitor hold. Pure."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Consumer
from pydantic import SecretStr
from rich.table import Table

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.client_endpoints import CAMPAIGN_REPORTS, JOURNEY_REPORTS
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings
from connectors.kafka.read_to_end import EndReader, pages, reader_config
from connectors.kafka.settings import KafkaSettings
from schemas.identity import normalise_email
from schemas.topics import TOPICS
from streams.demo.machine import Machine
from streams.demo.story import AUDIENCES, Story


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the summary; `expected` is None where there is nothing to hold it against."""

    what: str
    found: object
    expected: object | None = None

    @property
    def holds(self) -> bool:
        """Whether what was found is what was expected."""
        return self.expected is None or self.found == self.expected


def verdict(findings: Sequence[Finding]) -> int:
    """Return the exit code: 0 when every finding holds."""
    return 0 if all(finding.holds for finding in findings) else 1


def as_table(findings: Sequence[Finding]) -> Table:
    """Return the summary as people see it."""
    table = Table(title="What Kafka and Campaign Monitor hold now", title_justify="left")
    table.add_column("")
    table.add_column("found", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    for finding in findings:
        expected = "" if finding.expected is None else str(finding.expected)
        mark = "" if finding.expected is None else "[green]ok[/]" if finding.holds else "[bold red]differs[/]"
        table.add_row(finding.what, str(finding.found), expected, mark)
    return table


ListedSubscriber = Mapping[str, Any]
"""A subscriber as the API shows it."""


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """One committed record of a topic."""

    key: bytes | None
    value: bytes | None


def held_options(subscriber: ListedSubscriber, field: str) -> frozenset[str]:
    """Return the options of a select-many field that a subscriber holds."""
    wanted = _plain(field)
    return frozenset(entry["Value"] for entry in subscriber["CustomFields"] if _plain(entry["Key"]) == wanted)


def everyone_list(subscribers: Iterable[ListedSubscriber], story: Story, left: Set[str], field: str) -> list[Finding]:
    """Hold the list of all audiences against the story; `left` unsubscribed there themselves, before the end."""
    states: Counter[str] = Counter()
    wrong = []
    found: set[str] = set()
    for subscriber in subscribers:
        email = subscriber["EmailAddress"]
        found.add(email)
        states[subscriber["State"]] += 1
        if email in left:
            wrong += [email] if subscriber["State"] != "Unsubscribed" else []
        elif subscriber["State"] != "Active" or held_options(subscriber, field) != story.audiences_of.get(email):
            wrong.append(email)
    missing = {email for email, audiences in story.audiences_of.items() if audiences} - found
    return [
        Finding("list of all audiences: Active", states["Active"]),
        Finding("list of all audiences: Unsubscribed (they left, and stay away)", states["Unsubscribed"], len(left)),
        Finding(
            "list of all audiences: people missing, or with other values than wanted", len(missing) + len(wrong), 0
        ),
    ]


def segments(active_of: Mapping[str, int], story: Story, left: Set[str]) -> list[Finding]:
    """Hold each audience's segment against the story."""
    wanted = Counter(name for email, names in story.audiences_of.items() if email not in left for name in names)
    return [
        Finding(f"segment {name}: Active", active_of.get(name), wanted[name]) for name in sorted(AUDIENCES.values())
    ]


def vip_list(subscribers: Iterable[ListedSubscriber], story: Story, field: str) -> list[Finding]:
    """Hold the VIP list against the story: who is in, by the address at work, is Active, and nobody else is."""
    active = {s["EmailAddress"] for s in subscribers if s["State"] == "Active" and held_options(s, field) == {"VIP"}}
    wanted = {story.users[email]["work_email"] for email, names in story.audiences_of.items() if "VIP" in names}
    return [
        Finding("VIP list: Active, by their address at work", len(active), len(wanted)),
        Finding("VIP list: people missing, or there without being wanted", len(active ^ wanted), 0),
    ]


def readers_list(subscribers: Iterable[ListedSubscriber], story: Story, known: Set[str], field: str) -> list[Finding]:
    """Hold the list that is only updated against the story: known people hold their audiences, nobody was added."""
    exported = {"Newsletter readers", "Win back"}
    ours = {s["EmailAddress"]: s for s in subscribers if s["EmailAddress"] in story.users}
    wrong = [
        email
        for email, subscriber in ours.items()
        if subscriber["State"] == "Active" and held_options(subscriber, field) != story.audiences_of[email] & exported
    ]
    return [
        Finding("readers list: people added (the job only updates)", len(set(ours) - known), 0),
        Finding("readers list: known people with other values than wanted", len(wrong), 0),
    ]


def receipts(records: Iterable[TopicRecord], changes: int) -> list[Finding]:
    """One final receipt for each change and job: none missing, none twice."""
    per_change: Counter[tuple[str, ...]] = Counter()
    twice: Counter[tuple[str, ...]] = Counter()
    outcomes: Counter[str] = Counter()
    for receipt in _values(records):
        source = receipt.get("source")
        if not isinstance(source, dict) or not isinstance(receipt.get("outcome"), str):
            continue
        position = tuple(str(source.get(name)) for name in ("topic", "partition", "offset"))
        per_change[position] += 1
        twice[(str(receipt.get("job_id")), *position)] += 1
        outcomes[str(receipt.get("outcome"))] += 1
    return [
        Finding("changes with a receipt", len(per_change), changes),
        Finding("receipts published twice", sum(count - 1 for count in twice.values()), 0),
        *(Finding(f"receipts: {outcome}", count) for outcome, count in sorted(outcomes.items())),
    ]


def imported_users(records: Iterable[TopicRecord], lists: Mapping[str, Set[str]]) -> Finding:
    """Each subscriber that the list held when the import ran is on `cm_user`; `lists`: list id -> addresses."""
    published = {(user["list_id"], user.get("email")) for user in _values(records) if user.get("list_id")}
    missing = sum((list_id, email) not in published for list_id, emails in lists.items() for email in emails)
    return Finding("imported lists: subscribers missing on cm_user", missing, 0)


def imported_activity(records: Sequence[TopicRecord], reports: Mapping[str, int]) -> list[Finding]:
    """As many campaign and journey activities of each kind as the reports hold, each with an id of its own."""
    ours = [activity for activity in _values(records) if _is_activity(activity)]
    rows = [activity for activity in ours if activity["source"] != "webhook" and not activity.get("echo")]
    kinds = Counter(activity["event"] for activity in rows)
    # An unsubscribe in two reports is one event with one id; everything else is reported once.
    ids = [activity["event_id"] for activity in rows if activity["event"] != "deactivate"]
    return [
        *(Finding(f"reported activity: {kind}", kinds[kind], count) for kind, count in sorted(reports.items())),
        Finding("reported activity published twice", len(ids) - len(set(ids)), 0),
    ]


def webhook_unsubscribes(records: Iterable[TopicRecord], list_id: str, left: Set[str]) -> Finding:
    """Everybody who left the list was reported by webhook; our own writes to other lists' people do not count here."""
    reported = {
        activity["email"]
        for activity in filter(_is_activity, _values(records))
        if (activity["source"], activity["event"], activity.get("status"), activity.get("list_id"))
        == ("webhook", "deactivate", "unsubscribe", list_id)
    }
    return Finding("webhooks: unsubscribes of those who left", len(reported & left), len(left))


def profiles(
    profile_records: Iterable[TopicRecord], user_records: Sequence[TopicRecord], activity_records: Sequence[TopicRecord]
) -> list[Finding]:
    """One profile a person, and the counts in them add up to the activities, each counted once.

    Who is known only by echoes of our own writes has none.
    """
    newest = {record.key or b"": record for record in profile_records}
    alive = list(_values(newest.values()))
    people = {
        email
        for message in (*_values(user_records), *_values(activity_records))
        if not message.get("echo") and (email := normalise_email(str(message.get("email", ""))))
    }
    by_id = {
        activity["event_id"]: activity["event"]
        for activity in filter(_is_activity, _values(activity_records))
        if not activity.get("echo")
    }
    events = Counter(by_id.values())
    sums = {
        event: sum(profile.get(field, 0) for profile in alive)
        for event, field in (("sent", "cm_sendct"), ("open", "cm_openct"), ("click", "cm_clickct"))
    }
    return [
        Finding("profiles", len(alive), len(people)),
        *(Finding(f"profiles: {event} counted", count, events[event]) for event, count in sums.items()),
    ]


def _values(records: Iterable[TopicRecord]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects; what others publish besides is left out, and has become dead letters."""
    for record in records:
        try:
            body = orjson.loads(record.value or b"null")
        except orjson.JSONDecodeError:
            continue
        if isinstance(body, dict):
            yield body


def _is_activity(body: dict[str, Any]) -> bool:
    return all(isinstance(body.get(name), str) for name in ("source", "event", "event_id", "email"))


def _plain(key: str) -> str:
    return key.strip("[]").replace(" ", "").casefold()


READ_SECONDS = 60.0


async def read_topics(settings: KafkaSettings) -> dict[str, list[TopicRecord]]:
    """Return every committed record of every topic, by the topic's role. Raises ReadError."""
    return await asyncio.to_thread(_read_topics, settings)


def _read_topics(settings: KafkaSettings) -> dict[str, list[TopicRecord]]:
    names = settings.names()
    role_of = {names[role]: role for role in TOPICS}
    found: dict[str, list[TopicRecord]] = {role: [] for role in TOPICS}
    with closing(Consumer(reader_config(settings, "summary"))) as consumer:
        reader = EndReader(consumer, silence_seconds=READ_SECONDS, deadline_seconds=READ_SECONDS)
        known = consumer.list_topics(timeout=10).topics
        reader.assign([part for name in role_of if name in known for part in reader.partitions(name)])
        for page in pages(reader):
            for record in page:
                found[role_of[record.topic]].append(TopicRecord(record.key, record.value))
    return found


WORDS = {
    "recipients": "sent",
    "opens": "open",
    "clicks": "click",
    "unsubscribes": "deactivate",
    "spam": "spam",
    "bounces": "bounce",
}
"""Report -> the event's name on `cm_activity`."""


FEW_BY_EMAIL = Paging(page_size=10, order_field="email")
FEW = Paging(page_size=10, order_field=None)


async def active_by_segment(here: Machine, list_id: str) -> dict[str, int]:
    """Return how many Active subscribers each segment of a list has, by its name."""
    async with CampaignMonitor.open(_key(here), _settings(here)) as api:
        found = await api.lists.segments(list_id)
        return {segment.title: (await api.segments.details(segment.segment_id)).active_subscribers for segment in found}


async def reported(here: Machine, client_id: str) -> dict[str, int]:
    """Return how many rows the reports of a client's campaigns and journeys have, by the event's name."""
    rows: Counter[str] = Counter()
    async with CampaignMonitor.open(_key(here), _settings(here)) as api:
        campaigns = await api.clients.campaigns(client_id)
        for row in campaigns.rows:
            for report in CAMPAIGN_REPORTS:
                page = await api.campaigns.report(row["CampaignID"], report, FEW_BY_EMAIL)
                rows[WORDS[report]] += page.total
        for journey in await api.clients.journeys(client_id):
            for email in (await api.journeys.details(journey.journey_id)).emails:
                for journey_report in JOURNEY_REPORTS:
                    page = await api.journeys.email_report(email.email_id, journey_report, FEW)
                    rows[WORDS[journey_report]] += page.total
    return dict(rows)


def _key(here: Machine) -> ApiKey:
    return ApiKey(SecretStr(here.api_key))


def _settings(here: Machine) -> CampaignMonitorSettings:
    return CampaignMonitorSettings(base_url=here.base_url, oauth_url=here.oauth_url)
