"""Where to begin reading a source partition: the committed offset, unless it cannot be trusted. Pure."""

from __future__ import annotations

from typing import NamedTuple

from .errors import WrongPosition


class Start(NamedTuple):
    """The first offset to fetch, and how many records before it were removed unread."""

    offset: int
    lost: int = 0


def topic_metadata(topic_id: int) -> str:
    """Travels with every committed offset, so that offsets of an earlier topic of the same name are recognised."""
    return f"topic:{topic_id:08x}"


def start_position(
    topic: str, partition: int, committed: tuple[int, str] | None, first: int, end: int, topic_id: int
) -> Start:
    """`committed` is (offset, metadata) or None; `first`..`end` are the log start and the last stable offset.

    WrongPosition when the offset belongs to another incarnation of the topic, or lies behind its end: going on would
    skip records without a word.
    """
    where = f"{topic}[{partition}]"
    if committed is None:
        return Start(first)
    offset, metadata = committed
    metadata = metadata.rstrip("\0")  # confluent-kafka commits its C string's end with it
    if metadata.startswith("topic:") and metadata != topic_metadata(topic_id):
        raise WrongPosition(
            f"{where} was deleted and made anew since offset {offset} was committed (it now holds {first}..{end}); "
            f"reset the group's offsets of this topic to begin with its first record"
        )
    if offset > end:
        raise WrongPosition(
            f"{where}: offset {offset} was committed, but the topic ends at {end}: it was truncated or made anew; "
            f"reset the group's offsets of this topic"
        )
    if offset < first:
        return Start(first, lost=first - offset)
    return Start(offset)
