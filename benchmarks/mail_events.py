"""The events of the mapping suite: one account's mail, as `cm_user` and `cm_activity` messages, the same in every run.

Of all events 70 % are sent, 20 % open, 5 % click; the rest are subscriber records (2 %), subscribe, deactivate, update,
bounce and spam. One in twenty comes late by up to three days. Every event has an id of its own.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from benchmarks.topics import Message
from benchmarks.workloads import SEED, Workload

FIRST = datetime(2024, 11, 1, tzinfo=UTC)
STEP_SECONDS = 25
LATE_SHARE = 0.05
LATE_SECONDS = 3 * 86_400

CAMPAIGNS = 100
LINKS = 5
"""Per campaign. 500 different URLs in all: below the 1,000 entries that a set holds."""

KINDS = ("sent", "open", "click", "cm_user", "subscribe", "deactivate", "update", "bounce", "spam")
WEIGHTS = (70.0, 20.0, 5.0, 2.0, 1.0, 0.8, 0.5, 0.5, 0.2)
STATES = ("Active", "Active", "Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted")
REASONS = ("unsubscribe", "unsubscribe", "bounce", "delete")
LISTS = (("l1", "Newsletter"), ("l2", "Product news"), ("l3", "Événements"))
PLACES = (
    ("DE", "Berlin", "BE"),
    ("US", "Portland", "OR"),
    ("AU", "Sydney", "NSW"),
    ("GB", "London", "ENG"),
    ("FR", "Orléans", "CVL"),
    ("NL", "Utrecht", "UT"),
)
PATHS = ("sale", "caf%C3%A9/menu", "a%20b", "news/2024/", "account;v=1")


def mail_events(workload: Workload, events: int, user_topic: str, activity_topic: str) -> Iterator[Message]:
    """Yield the records of both topics, in order."""
    chance = random.Random(SEED + 1)
    pick = chance.random
    kinds = chance.choices(KINDS, WEIGHTS, k=events)
    for i, (user, kind) in enumerate(zip(workload.user_numbers(events), kinds, strict=True)):
        seconds = i * STEP_SECONDS - (pick() * LATE_SECONDS if pick() < LATE_SHARE else 0.0)
        at = FIRST + timedelta(milliseconds=int(seconds * 1000))
        # Some addresses come as their owner wrote them; the key is the normalised form.
        email = f"User{user}@Example.com" if user % 10 == 0 else f"user{user}@example.com"
        client = user % 2
        # What every message has. Built as text: a million dicts would take longer to make than to consume.
        start = (
            f'{{"schema_version":1,"event_id":"e{i:09d}","at":"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",'
            f'"email":"{email}","client_id":"client{client}","client_name":"Client {client}",'
        )
        key = b"user%d@example.com" % user
        list_id, list_name = LISTS[int(pick() * len(LISTS))]
        place = (
            f'"list_id":"{list_id}","list_name":"{list_name}","job_id":"import-1","raw_date":"{at:%Y-%m-%d %H:%M:%S}"'
        )
        if kind == "cm_user":
            state = STATES[int(pick() * len(STATES))]
            body = (
                f'{place},"name":"Person {user} {"the " + str(i % 7) if i % 3 else ""}","status":"{state}",'
                f'"joined_at":"2024-01-01T00:00:00.000Z","custom_fields":[{{"key":"City","value":"Berlin"}}],'
                '"consent_to_track":"Yes","reads_email_with":"Gmail"}'
            )
            yield Message(user_topic, key, (start + body).encode())
        else:
            body = f'{place},"event":"{kind}",{_details(kind, i, pick)}}}'
            yield Message(activity_topic, key, (start + body).encode())


def _details(kind: str, i: int, pick: Callable[[], float]) -> str:
    """Return the fields that depend on what happened."""
    campaign = i * CAMPAIGNS // 200_000 % CAMPAIGNS
    from_campaign = f'"source":"campaign","campaign_id":"k{campaign}","campaign_name":"Campaign {campaign}"'
    match kind:
        case "open" | "click":
            cc, city, region = PLACES[int(pick() * len(PLACES))]
            where = f'"ip":"192.0.2.1","cc":"{cc}","country":"Somewhere","city":"{city}","region":"{region}"'
            if kind == "open":
                return f"{from_campaign},{where}"
            link = PATHS[int(pick() * LINKS)]
            url = f"https://shop.example.com/{link}?utm_campaign=k{campaign}#top"
            return f'{from_campaign},{where},"url":"{url}"'
        case "deactivate":
            return f'"source":"webhook","status":"{REASONS[int(pick() * len(REASONS))]}"'
        case "bounce":
            return f'{from_campaign},"bounce_type":"Hard","reason":"Hard Bounce"'
        case "subscribe" | "update":
            return '"source":"webhook","status":"active","name":"Someone Else"'
        case _:
            return from_campaign
