"""Moves into profiles: changes of address in steps that may be repeated and overtaken, and erasure. Pure."""

from typing import TYPE_CHECKING

from schemas.cm_profile_change import ErasureReceipt
from schemas.identity import digest_of
from streams.batches import Output, StoredRecord
from streams.delivery import commands
from streams.mapping.dates import EpochMillis, rfc3339
from streams.mapping.fields.layout import Layout
from streams.mapping.fields.stored import join
from streams.profile.folding.counted_ids import both, entry, fingerprint, remember, seen
from streams.profile.folding.fold import MINUTE_MS, BatchEffects, Topics
from streams.profile.folding.moves import Move, output, profile_from_json, profile_to_json
from streams.profile.folding.row import AddressHistory, OutgoingTransfer, Profile

if TYPE_CHECKING:
    from streams.profile.folding.fold import ProfileFold

_MAX_MOVES = 32
"""Changes of address that a profile remembers."""
_OFFSETS = 1 << 48
"""An arrival is a stream's rank above an offset."""


class Transfers:
    """Applies moves; events that follow a person are folded by `fold`."""

    def __init__(self, fold: "ProfileFold", layout: Layout, topics: Topics, id_cap: int) -> None:
        self._fold = fold
        self._layout = layout
        self._topics = topics
        self._cap = id_cap

    def apply(self, profile: Profile, move: Move, effects: BatchEffects, now_ms: EpochMillis) -> bool:
        """Apply one move; True when the row must be written. Raises ValueError for a bad one."""
        match move.kind:
            case "leave":
                return self._take_leave(profile, move, effects)
            case "seal":
                return self._hand_over(profile, move, effects)
            case "arrive":
                return self._arrive(profile, move, effects, now_ms)
            case "follow":
                return self._follow(profile, move, effects)
        return self._erase(profile, move, effects, now_ms)

    def _take_leave(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        if not move.to or move.to == move.email:
            return False
        history = profile.history or AddressHistory()
        newest = max([at for at, _ in history.to] + ([history.transfer.at] if history.transfer else []), default=None)
        if (move.at, move.to) in history.to or (history.transfer is not None and history.transfer.id == move.id):
            return False
        if history.transfer is not None and history.transfer.at < move.at:
            effects.outputs.append(output(self._topics.moves, move))  # after the move that is under way
            return False
        profile.history = history
        if not profile.fields or (newest is not None and newest >= move.at):
            _add_move(history, move.at, move.to)
            return True
        history.transfer = OutgoingTransfer(move.id, move.to, move.at)
        effects.frozen.add(move.id)
        effects.outputs.append(output(self._topics.moves, Move("seal", move.id, move.email, move.at)))
        return True

    def _hand_over(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        history = profile.history
        if history is None or history.transfer is None or history.transfer.id != move.id:
            return False
        if move.id in effects.frozen:
            effects.outputs.append(output(self._topics.moves, move))  # again, when the frozen row is durable
            return False
        moving = history.transfer
        arrive = Move("arrive", moving.id, moving.to, moving.at, profile=profile_to_json(profile, move.email))
        effects.outputs.append(output(self._topics.moves, arrive))
        ids = profile.ids  # stay: what was folded here must be known here when it is told again
        self._forget(profile)
        profile.ids = ids
        profile.history = AddressHistory(history.to, [], None, history.erased_at)
        _add_move(profile.history, moving.at, moving.to)
        return True

    def _arrive(self, profile: Profile, move: Move, effects: BatchEffects, now_ms: EpochMillis) -> bool:
        mark = fingerprint(move.id)
        if seen(profile.ids, mark):
            return False
        if self._passed_on(profile, move, effects):
            return False
        if (
            profile.history is not None
            and profile.history.erased_at is not None
            and move.at <= profile.history.erased_at
        ):
            effects.dropped_erased += 1
            return False
        public, hidden, ids, came_from = profile_from_json(move.profile or {})
        join(self._layout, profile.fields, public, hidden, move.email)
        joined, early = both(profile.ids, ids, self._cap)
        profile.ids, early_too = remember(joined, entry(mark, now_ms // MINUTE_MS), self._cap)
        effects.forgotten_early += early + early_too
        profile.history = profile.history or AddressHistory()
        known = dict.fromkeys([*profile.history.came_from, *came_from])
        known.pop(move.email, None)
        profile.history.came_from = list(known)[-_MAX_MOVES:]
        return True

    def _follow(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        stream = self._fold.streams.get(move.stream)
        if stream is None:
            raise ValueError(f"an event of stream {move.stream}, which is not mapped")
        _, event = stream.reader.read(StoredRecord(move.arrival % _OFFSETS, None, move.value.encode(), move.timestamp))
        history = profile.history
        if history is not None and history.erased_at is not None and event.ms <= history.erased_at:
            effects.dropped_erased += 1
            return False
        if self._passed_on(profile, move, effects):
            return False
        return self._fold.fold_event(profile, move.email, stream, event, move.id, move.arrival, effects)

    def _passed_on(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        """Send what travels to the next address; while this row is being handed over, once round, behind that.

        Nothing may overtake the profile: it carries the ids by which a second telling is known.
        """
        if profile.history is None:
            return False
        here = (move.at, move.email)
        at, to = here if profile.history.transfer is not None else profile.history.next_hop(move.at) or here
        if (at, to) == here and profile.history.transfer is None:
            return False
        said = {name: getattr(move, name) for name in Move.__slots__}
        effects.outputs.append(output(self._topics.moves, Move(**{**said, "at": at, "email": to})))
        effects.forwarded += 1
        return True

    # -- erasure

    def _erase(self, profile: Profile, move: Move, effects: BatchEffects, now_ms: EpochMillis) -> bool:
        history = profile.history or AddressHistory()
        known = bool(profile.fields or history.to or history.came_from or history.transfer)
        others = [
            *history.came_from,
            *(to for _, to in history.to),
            *([history.transfer.to] if history.transfer else []),
        ]
        visited = {*move.visited, move.email}
        for other in dict.fromkeys(others):
            if other not in visited:
                further = Move("erase", move.id, other, move.at, visited=(*sorted(visited), *others))
                effects.outputs.append(output(self._topics.moves, further))
        receipt = ErasureReceipt(
            request_id=move.id,
            email_sha256=digest_of(move.email),
            outcome="erased" if known else "unknown",
            requested_at=rfc3339(move.at),
            erased_at=rfc3339(now_ms),
        )
        effects.outputs.append(Output(self._topics.erasures, move.id.encode(), receipt.to_bytes()))
        if self._topics.memberships is not None:
            effects.outputs.append(commands.write(self._topics.memberships, move.email, commands.Erase(move.at)))
        self._forget(profile)
        profile.history = AddressHistory(erased_at=max(move.at, history.erased_at or move.at))
        return True

    def _forget(self, profile: Profile) -> None:
        profile.fields, profile.ids = self._fold.codec.empty().fields, b""


def _add_move(history: AddressHistory, at: EpochMillis, to: str) -> None:
    history.to = sorted({*history.to, (at, to)})[-_MAX_MOVES:]
