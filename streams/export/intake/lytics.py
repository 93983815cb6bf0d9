"""The webhook shape of Lytics audience triggers, as a membership event.

The shape assumed (new format; fields that are not named here are the user's):

    {"id": "7076027172059065053",
     "data": {"email": "beth@example.com", "name": "Beth Izzi", ...,
              "segment_events": [{"id": "42976a26", "slug": "vip", "event": "enter", "enter": "2026-10-14T13:27:33Z"}]},
     "meta": {"object": "user", "timestamp": "2026-10-14T13:27:34Z", ...}}

Each entry of `segment_events` is one change; several may come at once. Its time is `enter` or `exit` (older exports:
`enterdate`, `exitdate`), else `meta.timestamp`, else `data._modified`, else the record's append. The audience's name
is `name` where it is sent, else the slug. `segments`, `segment_events` and names that begin with an underscore are
not fields of the person.
"""

from typing import Any

_NOT_FIELDS = frozenset({"segment_events", "segments", "email"})


def is_trigger(body: dict[str, Any]) -> bool:
    """Whether a JSON object has this shape."""
    data = body.get("data")
    return isinstance(data, dict) and "meta" in body and isinstance(data.get("segment_events"), list)


def to_changes(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one AudienceChange, as JSON, for each segment event; a time that is missing stays out.

    What is missing otherwise is left out too: the contract's check names it with its path.
    """
    data, meta = body["data"], body["meta"] if isinstance(body["meta"], dict) else {}
    user = {name: value for name, value in data.items() if name not in _NOT_FIELDS and not name.startswith("_")}
    return [_change(event, data, meta, body.get("id"), user) for event in data["segment_events"]]


def _change(
    event: Any, data: dict[str, Any], meta: dict[str, Any], event_id: Any, user: dict[str, Any]
) -> dict[str, Any]:
    if not isinstance(event, dict):
        event = {}
    kind = event.get("event")
    at = event.get(str(kind)) or event.get(f"{kind}date") or meta.get("timestamp") or data.get("_modified")
    audience = {"id": event.get("id") or event.get("slug"), "name": event.get("name") or event.get("slug")}
    change = {
        "email": data.get("email"),
        "change": kind,
        "audience": {name: value for name, value in audience.items() if value is not None},
        "at": at,
        "event_id": str(event_id) if event_id is not None else None,
        "user": user,
    }
    return {name: value for name, value in change.items() if value is not None}
