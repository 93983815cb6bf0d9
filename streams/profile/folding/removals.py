"""Who took a person off a list: the export, or they themselves. Pure.

Before the export takes somebody off a list it publishes that to `cm_activity`, under the key that the deactivate will
have. So in the person's partition it always comes first, whatever reports the deactivate and however late: a webhook
that was sent again for days, one that a receiver did not recognise, or a poll of what webhooks missed. A profile keeps
these removals, and a deactivate of such a list, kind and time is an echo. It depends on nothing but the order of one
partition, so a rebuild has the same result.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.envelope import EpochMillis
from streams.mapping.compile.compiler import StreamMessage
from streams.profile.folding.events import ProfileEvent

STREAM = "cm_activity"
BEFORE_MS = 120_000
"""A deactivate's date may be so much before the removal was published: it has whole minutes, and clocks differ."""
AFTER_MS = 420_000
"""And so much after it: a call that got no answer may be applied five minutes later."""
KEPT = 16
"""Removals that a profile remembers, the latest."""


class Removal(NamedTuple):
    """One removal. In order of time."""

    at: EpochMillis
    list_id: str
    status: str
    """unsubscribe or delete."""


Removals = tuple[Removal, ...]


def removal_of(stream: str, event: ProfileEvent) -> Removal | None:
    """Return the removal that a record of the export announces; None for every other record."""
    if stream != STREAM or _read(event.message, "source") != "export":
        return None
    list_id, status = _read(event.message, "list_id"), _read(event.message, "status")
    return Removal(event.ms, list_id, status) if isinstance(list_id, str) and isinstance(status, str) else None


def is_removal(removals: Removals, stream: str, event: ProfileEvent) -> bool:
    """Whether an event is how one of the removals came back.

    A campaign's report of unsubscribes shows people's own clicks, and nothing else.
    """
    message = event.message
    if stream != STREAM or _read(message, "event") != "deactivate" or _read(message, "source") != "webhook":
        return False
    list_id, status = _read(message, "list_id"), _read(message, "status")
    return any(
        removal.list_id == list_id
        and removal.status == status
        and removal.at - BEFORE_MS <= event.ms <= removal.at + AFTER_MS
        for removal in removals
    )


def with_removals(removals: Removals, more: Iterable[Removal]) -> Removals:
    """Return the latest of both, each once, in order."""
    return tuple(sorted({*removals, *more})[-KEPT:])


def stored_removals(removals: Removals) -> list[list[Any]]:
    """Return removals as JSON can carry them."""
    return [[*removal] for removal in removals]


def read_removals(parts: Any) -> Removals:
    """Read what `stored_removals` made. Raises ValueError for anything else."""
    if isinstance(parts, list):
        read = [_stored(part) for part in parts]
        if all(removal is not None for removal in read):
            return tuple(removal for removal in read if removal is not None)
    raise ValueError("removals are not a time, a list and a kind each")


def _stored(part: Any) -> Removal | None:
    match part:
        case [int(at), str(list_id), str(status)]:
            return Removal(at, list_id, status)
    return None


def _read(message: StreamMessage, name: str) -> Any:
    return message.get(name) if isinstance(message, dict) else getattr(message, name, None)
