"""The profile job, one event at a time: what each Python system does for an event. No imports beyond the library."""

from datetime import UTC, datetime
from typing import Any

LATER_THAN_ALL = 1 << 60


def update(profile: dict[str, Any], event: dict[str, Any]) -> None:
    """Fold one event into its person's profile, in place."""
    kind = event["event"]
    epoch = event["epoch"]
    get = profile.get
    _count(profile, "cm_email_event", kind)
    email = event["email"]
    profile["email"] = email
    profile["email_domain"] = email.rsplit("@", 1)[1]
    for field, source in (("cm_campaign_ids", "campaign_id"), ("cm_listids", "list_id")):
        value = event.get(source)
        if value is not None:
            known = get(field)
            if known is None:
                profile[field] = [value]
            elif value not in known:
                known.append(value)
    if kind == "open":
        profile["cm_openct"] = get("cm_openct", 0) + 1
        if epoch > get("cm_lastopen_ts", 0):
            profile["cm_lastopen_ts"] = epoch
        if epoch < get("cm_firstopen_ts", LATER_THAN_ALL):
            profile["cm_firstopen_ts"] = epoch
        moment = datetime.fromtimestamp(epoch, UTC)
        _count(profile, "cm_hourlyopen", str(moment.hour))
        _count(profile, "cm_hourofweek", str(moment.weekday() * 24 + moment.hour))
        _count(profile, "cm_monthly", f"{moment.year % 100:02}{moment.month:02}")
    if epoch > get("last_active_ts", 0):
        profile["last_active_ts"] = epoch


def _count(profile: dict[str, Any], field: str, name: str) -> None:
    counts = profile.get(field)
    if counts is None:
        profile[field] = {name: 1}
    else:
        counts[name] = counts.get(name, 0) + 1
