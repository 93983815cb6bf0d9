"""Taking over a partition: receipts that were written before the predecessor's rows are brought into the rows.

A receipt is acknowledged before its row is written, so after a crash the topic may be ahead of the table by a few
seconds. The predecessor notes in a checkpoint up to which receipt its rows are complete; what came after is read from
the topic, once, before the first batch and before anything is sent. So the same change never gets a second receipt,
and what the list holds already is not sent again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson

from streams.delivery.receipts import HELD
from streams.domain.rows import Row, Said, decode_held


class Told(NamedTuple):
    """A receipt as it stands in the topic."""

    offset: int
    key: bytes
    value: bytes
    headers: Iterable[tuple[str, bytes]]


class ReceiptsTopic(Protocol):
    """Reads `audience-delivery`."""

    async def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        ...

    async def read(self, partition: int, start: int, end: int) -> list[Told]:
        """Return the records of [start, end) that are still there."""
        ...


class Window(NamedTuple):
    """Keys after `after`, up to and with `upto`."""

    after: str
    upto: str

    def holds(self, key: str) -> bool:
        """Say whether a key is inside."""
        return self.after < key <= self.upto

    def with_(self, other: "Window | None") -> "Window":
        """Return the least window that holds both."""
        return self if other is None else Window(min(self.after, other.after), max(self.upto, other.upto))


class SweepMark(NamedTuple):
    """How far a sweep got. Between `after` and `front` requests may be under way that no row knows of."""

    revision: str
    """Of the list's jobs; empty when they have changed since."""
    after: str | None
    """Everybody up to this key is settled; None: the sweep is complete."""
    front: str = ""
    doubt: Window | None = None
    """People to whom an earlier sweep, for other jobs, may have sent something without an answer."""

    @property
    def open_window(self) -> Window | None:
        """Who may have been sent something that is not known, if this is all that was left behind."""
        if self.after is None:
            return None
        return Window(self.after, max(self.front, self.after)).with_(self.doubt)


@dataclass(slots=True)
class Checkpoint:
    """What a partition has done so far; a row of the table."""

    receipts: int = -1
    """Rows are complete up to this offset of the receipts' partition; -1: nothing was ever told."""
    sweeps: dict[str, SweepMark] = field(default_factory=dict)
    """By list."""
    people: dict[str, int] = field(default_factory=dict)
    """By list: how many people it holds for us."""


def read_checkpoint(row: Row) -> Checkpoint:
    """Read a checkpoint out of its row."""
    kept = row.fields.get("checkpoint")
    if kept is None:
        return Checkpoint()
    body: dict[str, Any] = kept[0]
    sweeps = {
        list_id: SweepMark(revision, after, front, None if doubt is None else Window(*doubt))
        for list_id, (revision, after, front, doubt) in body["sweeps"].items()
    }
    return Checkpoint(body["receipts"], sweeps, dict(body["people"]))


def write_checkpoint(row: Row, checkpoint: Checkpoint) -> None:
    """Put a checkpoint into its row."""
    sweeps = {
        list_id: [it.revision, it.after, it.front, None if it.doubt is None else [*it.doubt]]
        for list_id, it in checkpoint.sweeps.items()
    }
    body = {"receipts": checkpoint.receipts, "sweeps": sweeps, "people": checkpoint.people}
    row.fields["checkpoint"] = (body, 0)


def ids_of(tail: Iterable[Told]) -> set[str]:
    """Return the ids of receipts."""
    return {str(orjson.loads(it.value).get("event_id")) for it in tail}


def unfolded(tail: Iterable[Told]) -> list[tuple[int, int]]:
    """Return (source offset, receipt offset) of receipts that were given while folding, by source offset.

    Their events may come again, so no checkpoint may pass such a receipt before its event has been folded.
    """
    return sorted(
        (int(orjson.loads(it.value)["source"]["offset"]), it.offset)
        for it in tail
        if all(name != HELD for name, _ in it.headers)
    )


def keys_of(tail: Iterable[Told]) -> set[bytes]:
    """Return the keys of receipts whose rows may be behind."""
    return {it.key for it in tail if any(name == HELD for name, _ in it.headers)}


def apply(rows: Mapping[bytes, Row], tail: Iterable[Told]) -> set[bytes]:
    """Bring rows up to the receipts, in the order of the topic. Returns the keys of rows that changed.

    What a list holds is replaced as a whole by what the receipt says it held afterwards. Of what a job was told, the
    later position counts: a row may be ahead of an old receipt.
    """
    changed: set[bytes] = set()
    for it in tail:
        row = rows.get(it.key)
        header = next((value for name, value in it.headers if name == HELD), None)
        if row is None or header is None:
            continue
        body = orjson.loads(it.value)
        held = decode_held(orjson.loads(header))
        known = row.lists.get(body["list_id"])
        newer = known is not None and known.seen >= held.seen and known.said.keys() >= held.said.keys()
        if newer and known is not None and known.said[body["job_id"]].answered >= body["source"]["offset"]:
            continue
        # Other changes of the same request may not have their receipts yet: only this one is answered.
        answered = body["source"]["offset"]
        for job, said in list(held.said.items()):
            before = known.said[job].answered if known is not None and job in known.said else -1
            told = max(before, answered) if job == body["job_id"] else before
            held.said[job] = Said(said.digest, told, said.also)
        row.lists[body["list_id"]] = held
        changed.add(it.key)
    return changed
