"""The formats of others that are read as membership events: CloudEvents, and Lytics' audience triggers.

CloudEvents 1.0 on Kafka come structured (the envelope is the value) or binary (the envelope is in `ce_` headers). The
data is the membership event itself. `time` and `id` of the envelope replace `at` and `event_id` where the data has
none. An envelope's `type`, `source` and `subject` may be anything.

The webhook shape of Lytics' triggers that is assumed (new format; fields that are not named here are the user's):

    {"id": "7076027172059065053",
     "data": {"email": "beth@example.com", "name": "Beth Izzi", ...,
              "segment_events": [{"id": "42976a26", "slug": "vip", "event": "enter", "enter": "2026-10-14T13:27:33Z"}]},
     "meta": {"object": "user", "timestamp": "2026-10-14T13:27:34Z", ...}}

Each entry of `segment_events` is one change; several may come at once. Its time is `enter` or `exit` (older exports:
`enterdate`, `exitdate`), else `meta.timestamp`, else `data._modified`, else the record's append. The audience's name
is `name` where it is sent, else the slug. `segments`, `segment_events` and names that begin with an underscore are
not fields of the person.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

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


class EnvelopeError(ValueError):
    """The envelope is none of version 1.0, or holds no data that we can read; the text begins with the field's path."""


def is_structured(body: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an envelope."""
    return "specversion" in body


def data_of(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of a structured envelope."""
    _check_version(envelope.get("specversion"))
    data = envelope.get("data")
    if data is None and isinstance(envelope.get("data_base64"), str):
        try:
            data = orjson.loads(b64decode(envelope["data_base64"], validate=True))
        except ValueError:
            raise EnvelopeError("data_base64: no base64 of a JSON object") from None
    if isinstance(data, str):
        try:
            data = orjson.loads(data)
        except ValueError:
            raise EnvelopeError("data: text that is no JSON object") from None
    if not isinstance(data, dict):
        raise EnvelopeError("data: a JSON object is required")
    return _completed(data, envelope.get("id"), envelope.get("time"))


def binary_headers(headers: Sequence[tuple[str, bytes]]) -> dict[str, str] | None:
    """Return the `ce_` attributes of a record, or None when it has none."""
    if not headers:
        return None
    found = {
        name[3:].lower(): (value or b"").decode("utf-8", "replace")
        for name, value in headers
        if name[:3].lower() == "ce_"
    }
    return found if "specversion" in found else None


def with_binary_headers(data: dict[str, Any], attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return the event of a record in binary mode: the value is the data."""
    _check_version(attributes.get("specversion"))
    return _completed(data, attributes.get("id"), attributes.get("time"))


def _check_version(version: Any) -> None:
    if version != "1.0":
        raise EnvelopeError(f"specversion: 1.0 is understood, not {str(version)[:20]!r}")


def _completed(data: dict[str, Any], event_id: Any, time: Any) -> dict[str, Any]:
    completed = dict(data)
    if isinstance(event_id, str) and "event_id" not in data:
        completed["event_id"] = event_id[:128]
    if isinstance(time, str) and "at" not in data:
        completed["at"] = time
    return completed
