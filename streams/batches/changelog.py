"""Changelog records to store blobs, and what a local store is worth against its changelog. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

from .rows import encode_blob
from .store import Checkpoint

STATE_HEADER = "row-state"
"""Header of a public changelog's records that carries the hidden state."""


class Plan(enum.Enum):
    """What to do with a local store."""

    RESUME = "resume"
    REBUILD = "rebuild"


class Restore(NamedTuple):
    """Where to read the changelog from, and why the store was thrown away, if it was."""

    plan: Plan
    start: int
    reason: str = ""


def plan_restore(checkpoint: Checkpoint | None, topic_id: int, first: int, end: int) -> Restore:
    """Resume where the store's checkpoint allows it, else rebuild.

    `first`..`end` are the changelog partition's log start and its last stable offset. A store that is ahead of its
    changelog, or belongs to another incarnation of it, must not be trusted: its rows would swallow a replay. Neither
    must one that is behind the log start: deletions in between may have been compacted away.
    """
    if checkpoint is None:
        return Restore(Plan.REBUILD, first, "no checkpoint")
    if checkpoint.topic_id != topic_id:
        return Restore(Plan.REBUILD, first, "the changelog was made anew")
    if checkpoint.next_offset > end:
        return Restore(Plan.REBUILD, first, f"the store is at {checkpoint.next_offset}, the changelog ends at {end}")
    if checkpoint.next_offset < first:
        return Restore(
            Plan.REBUILD, first, f"the store is at {checkpoint.next_offset}, the changelog begins at {first}"
        )
    return Restore(Plan.RESUME, checkpoint.next_offset)


def blob_of(value: bytes | None, headers: Iterable[tuple[str, Any]] | None, *, public: bool) -> bytes | None:
    """A changelog record as the store keeps it; None deletes the row.

    A public tombstone with hidden state is a row for as long as the topic keeps tombstones.
    """
    if not public:
        return value
    hidden = b""
    for name, content in headers or ():
        if name == STATE_HEADER:
            hidden = content
    if value is None and not hidden:
        return None
    return encode_blob(value, hidden)
