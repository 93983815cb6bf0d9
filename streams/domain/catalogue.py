"""Which audiences there are and what they are called: names belong to the audience, not to the person.

A changed name under the same id is a rename. So that one event renames it for everybody, names are not kept in the
rows but here, one entry for each audience; the latest by event time wins.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from streams.domain.rows import Millis

# Enough to find a segment under the name that it had when it was made; more would only be history.
FORMER_NAMES = 8


@dataclass(frozen=True, slots=True)
class Named:
    """An audience's name, since when, and the names it had before (latest first)."""

    name: str
    at: Millis
    former: tuple[str, ...] = ()


def renamed(known: Named | None, name: str, at: Millis) -> Named | None:
    """Return the entry after an event said this name, or None when it changes nothing.

    At the same instant the greater name wins, so that every order of events ends with the same one.
    """
    if known is None:
        return Named(name, at)
    if name == known.name or (at, name) < (known.at, known.name):
        return None
    former = tuple(dict.fromkeys((known.name, *(it for it in known.former if it != name))))
    return Named(name, at, former[:FORMER_NAMES])


class Catalogue:
    """All audiences known so far, by id."""

    def __init__(self, entries: Mapping[str, Named] | None = None) -> None:
        self._entries = dict(entries or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, audience: str) -> Named | None:
        """Return an audience's entry."""
        return self._entries.get(audience)

    def name_of(self, audience: str) -> str:
        """Return what people call the audience; its id while nobody has said a name."""
        known = self._entries.get(audience)
        return audience if known is None else known.name

    def put(self, audience: str, entry: Named) -> bool:
        """Take an entry from elsewhere, unless ours is newer. Says whether anything changed."""
        known = self._entries.get(audience)
        if known is not None and (known.at, known.name) >= (entry.at, entry.name):
            return False
        self._entries[audience] = entry
        return True

    def news(self, names: Iterable[tuple[str, str, Millis]]) -> dict[str, Named]:
        """Return the entries that these (id, name, event time) would change; nothing is changed yet."""
        changed: dict[str, Named] = {}
        for audience, name, at in names:
            entry = renamed(changed.get(audience) or self._entries.get(audience), name, at)
            if entry is not None:
                changed[audience] = entry
        return changed

    def matching(self, wanted: Iterable[str]) -> frozenset[str]:
        """Return the ids that a job's list of ids and names stands for.

        An id that nobody has mentioned stands for itself. A name stands for whoever has it now, and only when nobody
        does, for whoever had it before: so a rename does not take an audience out of a job.
        """
        ids: set[str] = set()
        for word in wanted:
            current = {audience for audience, entry in self._entries.items() if entry.name == word}
            if word in self._entries or not current:
                ids.add(word)
            ids |= current or {audience for audience, entry in self._entries.items() if word in entry.former}
        return frozenset(ids)
