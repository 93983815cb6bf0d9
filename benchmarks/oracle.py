"""What the profile job must come to, worked out at the end from all events at once: shares no code with any system.

The systems fold one event after the other; this groups the events by person and summarises each group.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson


def expected_profiles(events: Iterable[tuple[bytes, bytes]]) -> dict[str, dict[str, Any]]:
    """Return the profile of each key after all these (key, value) events of the profile job."""
    grouped: dict[bytes, list[bytes]] = {}
    for key, value in events:
        grouped.setdefault(key, []).append(value)
    return {key.decode(): summarise([orjson.loads(value) for value in values]) for key, values in grouped.items()}


def summarise(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the profile of one person from all of their events, in order."""
    opens = [event["epoch"] for event in events if event["event"] == "open"]
    moments = [datetime.fromtimestamp(epoch, UTC) for epoch in opens]
    profile: dict[str, Any] = {
        "email": events[-1]["email"],
        "email_domain": events[-1]["email"].split("@")[-1],
        "cm_email_event": Counter(event["event"] for event in events),
        "cm_campaign_ids": list(dict.fromkeys(event["campaign_id"] for event in events if "campaign_id" in event)),
        "cm_listids": list(dict.fromkeys(event["list_id"] for event in events if "list_id" in event)),
        "last_active_ts": max(event["epoch"] for event in events),
    }
    if opens:
        profile |= {
            "cm_openct": len(opens),
            "cm_firstopen_ts": min(opens),
            "cm_lastopen_ts": max(opens),
            "cm_hourlyopen": Counter(str(moment.hour) for moment in moments),
            "cm_hourofweek": Counter(str(moment.weekday() * 24 + moment.hour) for moment in moments),
            "cm_monthly": Counter(f"{moment:%y%m}" for moment in moments),
        }
    return profile
