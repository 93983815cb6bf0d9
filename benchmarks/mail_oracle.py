"""What the full default mapping must come to, worked out from all of a person's messages at once.

Shares no code with the mapping language or with the Java peer, and knows only what the generated events hold.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import orjson
from siphash24 import siphash24

from benchmarks.topics import Message

HASH_KEY = (0).to_bytes(8, "little") + (1).to_bytes(8, "little")
ENGAGED = ("open", "click", "subscribe")


def expected_mail_profiles(messages: Iterable[Message], user_topic: str) -> dict[str, dict[str, Any]]:
    """Return the profile of each key after all these messages."""
    people: dict[bytes, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for message in messages:
        people.setdefault(message.key, ([], []))[message.topic != user_topic].append(orjson.loads(message.value))
    return {key.decode(): summarise(*found) for key, found in people.items()}


def summarise(users: list[dict[str, Any]], activities: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one person's profile from their cm_user and cm_activity messages, each in order of arrival."""
    messages = users + activities
    opens = [message for message in activities if message["event"] == "open"]
    clicks = [message for message in activities if message["event"] == "click"]
    engaged = [message for message in activities if message["event"] in ENGAGED]
    unsubscribes = [m for m in activities if m["event"] == "deactivate" and m.get("status") == "unsubscribe"]
    moments = [_instant(message) for message in opens]
    email = messages[0]["email"].lower()
    profile: dict[str, Any] = {
        "email": email,
        "email_domain": email.partition("@")[2],
        "cm_name": _latest(users, "name"),
        "country_code": _latest(activities, "cc"),
        "city": _latest(activities, "city"),
        "region": _latest(activities, "region"),
        "cm_list_ids_status": _latest_each(users, "list_id"),
        "cm_list_names_status": _latest_each(users, "list_name"),
        "cm_client_ids": _distinct(messages, "client_id"),
        "cm_client_names": _distinct(messages, "client_name"),
        "cm_campaign_ids": _distinct(activities, "campaign_id"),
        "cm_campaign_names": _distinct(activities, "campaign_name"),
        "cm_listids": _distinct(activities, "list_id"),
        "cm_list_names": _distinct(activities, "list_name"),
        "cm_email_urls": _distinct(activities, "url"),
        "channels": ["email"] if engaged else [],
        "cm_sendct": sum(message["event"] == "sent" for message in activities),
        "cm_openct": len(opens),
        "cm_clickct": len(clicks),
        "cm_firstopen_ts": _date(min(map(_instant, opens), default=None)),
        "cm_lastopen_ts": _date(max(map(_instant, opens), default=None)),
        "cm_firstclick_ts": _date(min(map(_instant, clicks), default=None)),
        "cm_lastclick_ts": _date(max(map(_instant, clicks), default=None)),
        "last_active_ts": _date(max(map(_instant, engaged), default=None)),
        "cm_unsub_ts": max((_milliseconds(_instant(message)) for message in unsubscribes), default=None),
        "cm_email_event": Counter(message["event"] for message in activities),
        "hashedurls": Counter(_url_hash(message["url"]) for message in opens + clicks if "url" in message),
        "cm_hourlyopen": Counter(str(moment.hour) for moment in moments),
        "cm_hourofweek": Counter(str(moment.isoweekday() % 7 * 24 + moment.hour) for moment in moments),
        "cm_monthly": Counter(f"{moment:%y%m}" for moment in moments),
    }
    return {name: value for name, value in profile.items() if value}


def _instant(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["at"])


def _milliseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _date(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _distinct(messages: list[dict[str, Any]], name: str) -> list[str]:
    return sorted({message[name] for message in messages if message.get(name)})


def _latest(messages: list[dict[str, Any]], name: str) -> str | None:
    """The value with the greatest time; of equal times the one that came last (sorted() is stable)."""
    having = [message for message in messages if message.get(name)]
    return sorted(having, key=_instant)[-1][name] if having else None  # noqa: FURB192  (max takes the first)


def _latest_each(users: list[dict[str, Any]], name: str) -> dict[str, str]:
    return {user[name]: user["status"] for user in sorted(users, key=_instant) if user.get(name)}


def _url_hash(url: str) -> str:
    parts = urlsplit(url)
    text = parts.netloc.encode() + unquote_to_bytes(parts.path)
    return str(int.from_bytes(siphash24(text, key=HASH_KEY).digest(), "little", signed=True))
