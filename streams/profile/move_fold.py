"""Moves into profiles: changes of address in steps that may be repeated and overtaken, and erasure. Pure."""

from typing import TYPE_CHECKING

from schemas.cm_profile_change import ErasureReceipt
from schemas.identity import digest_of
from schemas.membership_command import Erase, command_bytes
from streams.batches import Output, StoredRecord
from streams.domain.mapping.dates import Millis, rfc3339
from streams.domain.mapping.join import join
from streams.domain.mapping.layout import Layout
from streams.profile.counted_ids import both, entry, fingerprint, remember, seen
from streams.profile.moves import Move, output, packed, unpacked
from streams.profile.row import Moving, Profile, Ways
from streams.profile.tally import MINUTE_MS, Tally, Topics

if TYPE_CHECKING:
    from streams.profile.fold import ProfileFold

_MOST_WAYS = 32
"""Changes of address that a profile remembers."""
_OFFSETS = 1 << 48
"""An arrival is a stream's rank above an offset."""


class MoveFold:
    """Applies moves; events that follow a person are folded by `fold`."""

    def __init__(self, fold: "ProfileFold", layout: Layout, topics: Topics, id_cap: int) -> None:
        self._fold = fold
        self._layout = layout
        self._topics = topics
        self._cap = id_cap

    def apply(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        """Apply one move; True when the row must be written. Raises ValueError for a bad one."""
        match move.kind:
            case "leave":
                return self._take_leave(profile, move, tally)
            case "seal":
                return self._hand_over(profile, move, tally)
            case "arrive":
                return self._arrive(profile, move, tally, now_ms)
            case "follow":
                return self._follow(profile, move, tally)
        return self._erase(profile, move, tally, now_ms)

    def _take_leave(self, profile: Profile, move: Move, tally: Tally) -> bool:
        if not move.to or move.to == move.email:
            return False
        ways = profile.ways or Ways()
        newest = max([at for at, _ in ways.to] + ([ways.moving.at] if ways.moving else []), default=None)
        if (move.at, move.to) in ways.to or (ways.moving is not None and ways.moving.id == move.id):
            return False
        if ways.moving is not None and ways.moving.at < move.at:
            tally.outputs.append(output(self._topics.moves, move))  # after the move that is under way
            return False
        profile.ways = ways
        if not profile.fields or (newest is not None and newest >= move.at):
            _add_way(ways, move.at, move.to)
            return True
        ways.moving = Moving(move.id, move.to, move.at)
        tally.frozen.add(move.id)
        tally.outputs.append(output(self._topics.moves, Move("seal", move.id, move.email, move.at)))
        return True

    def _hand_over(self, profile: Profile, move: Move, tally: Tally) -> bool:
        ways = profile.ways
        if ways is None or ways.moving is None or ways.moving.id != move.id:
            return False
        if move.id in tally.frozen:
            tally.outputs.append(output(self._topics.moves, move))  # again, when the frozen row is durable
            return False
        moving = ways.moving
        arrive = Move("arrive", moving.id, moving.to, moving.at, profile=packed(profile, move.email))
        tally.outputs.append(output(self._topics.moves, arrive))
        ids = profile.ids  # stay: what was folded here must be known here when it is told again
        self._forget(profile)
        profile.ids = ids
        profile.ways = Ways(ways.to, [], None, ways.erased_at)
        _add_way(profile.ways, moving.at, moving.to)
        return True

    def _arrive(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        mark = fingerprint(move.id)
        if seen(profile.ids, mark):
            return False
        if self._passed_on(profile, move, tally):
            return False
        if profile.ways is not None and profile.ways.erased_at is not None and move.at <= profile.ways.erased_at:
            tally.dropped_erased += 1
            return False
        public, hidden, ids, came_from = unpacked(move.profile or {})
        join(self._layout, profile.fields, public, hidden, move.email)
        joined, early = both(profile.ids, ids, self._cap)
        profile.ids, early_too = remember(joined, entry(mark, now_ms // MINUTE_MS), self._cap)
        tally.forgotten_early += early + early_too
        profile.ways = profile.ways or Ways()
        known = dict.fromkeys([*profile.ways.came_from, *came_from])
        known.pop(move.email, None)
        profile.ways.came_from = list(known)[-_MOST_WAYS:]
        return True

    def _follow(self, profile: Profile, move: Move, tally: Tally) -> bool:
        stream = self._fold.streams.get(move.stream)
        if stream is None:
            raise ValueError(f"an event of stream {move.stream}, which is not mapped")
        _, event = stream.reader.read(StoredRecord(move.arrival % _OFFSETS, None, move.value.encode(), move.timestamp))
        ways = profile.ways
        if ways is not None and ways.erased_at is not None and event.ms <= ways.erased_at:
            tally.dropped_erased += 1
            return False
        if self._passed_on(profile, move, tally):
            return False
        return self._fold.fold_told(profile, move.email, stream, event, move.id, move.arrival, tally)

    def _passed_on(self, profile: Profile, move: Move, tally: Tally) -> bool:
        """Send what travels to the next address; while this row is being handed over, once round, behind that.

        Nothing may overtake the profile: it carries the ids by which a second telling is known.
        """
        if profile.ways is None:
            return False
        here = (move.at, move.email)
        at, to = here if profile.ways.moving is not None else profile.ways.next_hop(move.at) or here
        if (at, to) == here and profile.ways.moving is None:
            return False
        said = {name: getattr(move, name) for name in Move.__slots__}
        tally.outputs.append(output(self._topics.moves, Move(**{**said, "at": at, "email": to})))
        tally.forwarded += 1
        return True

    # -- erasure

    def _erase(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        ways = profile.ways or Ways()
        known = bool(profile.fields or ways.to or ways.came_from or ways.moving)
        others = [*ways.came_from, *(to for _, to in ways.to), *([ways.moving.to] if ways.moving else [])]
        visited = {*move.visited, move.email}
        for other in dict.fromkeys(others):
            if other not in visited:
                further = Move("erase", move.id, other, move.at, visited=(*sorted(visited), *others))
                tally.outputs.append(output(self._topics.moves, further))
        receipt = ErasureReceipt(
            request_id=move.id,
            email_sha256=digest_of(move.email),
            outcome="erased" if known else "unknown",
            requested_at=rfc3339(move.at),
            erased_at=rfc3339(now_ms),
        )
        tally.outputs.append(Output(self._topics.erasures, move.id.encode(), receipt.to_bytes()))
        if self._topics.memberships is not None:
            command = command_bytes(Erase(move.at))
            tally.outputs.append(Output(self._topics.memberships, move.email.encode(), command))
        self._forget(profile)
        profile.ways = Ways(erased_at=max(move.at, ways.erased_at or move.at))
        return True

    def _forget(self, profile: Profile) -> None:
        profile.fields, profile.ids = self._fold.codec.empty().fields, b""


def _add_way(ways: Ways, at: Millis, to: str) -> None:
    ways.to = sorted({*ways.to, (at, to)})[-_MOST_WAYS:]
