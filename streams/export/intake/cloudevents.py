"""CloudEvents 1.0 on Kafka: structured (the envelope is the value) and binary (the envelope is in `ce_` headers).

The data is the membership event itself. `time` and `id` of the envelope replace `at` and `event_id` where the
data has none. An envelope's `type`, `source` and `subject` may be anything.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import orjson


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
    found = {name[3:].lower(): value.decode("utf-8", "replace") for name, value in headers if name[:3].lower() == "ce_"}
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
