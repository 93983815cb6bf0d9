"""Moves into profiles: changes of address in steps that may be repeated and overtaken, and erasure. Pure."""

from dataclasses import replace

import orjson

from schemas.cm_profile import ErasureReceipt
from schemas.envelope import EpochMillis
from schemas.identity import digest_of
from streams.batches import Output, StoredRecord
from streams.mapping.dates import rfc3339
from streams.mapping.fields.reference import merge_stored
from streams.profile.folding.fold import MINUTE_MS, STREAM_RANK, BatchEffects, ProfileFold
from streams.profile.folding.moves import (
    ForeignMappingError,
    Move,
    move_output,
    profile_from_json,
    profile_to_json,
)
from streams.profile.folding.removals import with_removals
from streams.profile.folding.row import (
    AddressHistory,
    OutgoingTransfer,
    Profile,
    both,
    entry,
    fingerprint,
    remember,
    seen,
)

_MAX_MOVES = 32
"""Changes of address that a profile remembers."""


class Transfers:
    """Applies moves to rows; events that follow a person are folded by `ProfileFold`, as any event is."""

    def __init__(self, fold: ProfileFold) -> None:
        self._fold = fold
        self._layout = fold.layout
        self._topics = fold.topics
        self._cap = fold.id_cap

    def apply(self, profile: Profile, move: Move, effects: BatchEffects, now_ms: EpochMillis) -> bool:
        """Apply one record of the moves topic; True when the row must be written.

        `now_ms` is the record's timestamp, so that a replay has the same result as the first run. Raises ValueError for
        a bad record, ForeignMappingError and FieldsError for a profile that cannot be folded, and UnusableRecord for a
        forwarded event that cannot be read; the profile may have been changed by then.
        """
        match move.kind:
            case "leave":
                return self._begin_transfer(profile, move, effects)
            case "seal":
                return self._publish_profile(profile, move, effects)
            case "arrive":
                return self._merge_profile(profile, move, effects, now_ms)
            case "follow":
                return self._fold_forwarded(profile, move, effects)
        return self._erase(profile, move, effects, now_ms)

    def _begin_transfer(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        if not move.to or move.to == move.email:
            return False
        history = profile.history or AddressHistory()
        newest = max(
            [at for at, _ in history.moved_to] + ([history.transfer.at] if history.transfer else []), default=None
        )
        if (move.at, move.to) in history.moved_to or (history.transfer is not None and history.transfer.id == move.id):
            return False
        if history.transfer is not None and history.transfer.at < move.at:
            effects.outputs.append(move_output(self._topics.moves, move))  # after the move that is under way
            return False
        profile.history = history
        if not profile.fields or (newest is not None and newest >= move.at):
            _add_move(history, move.at, move.to)
            return True
        history.transfer = OutgoingTransfer(move.id, move.to, move.at)
        effects.frozen.add(move.id)
        effects.outputs.append(move_output(self._topics.moves, Move("seal", move.id, move.email, move.at)))
        return True

    def _publish_profile(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        history = profile.history
        if history is None or history.transfer is None or history.transfer.id != move.id:
            return False
        if move.id in effects.frozen:
            effects.outputs.append(move_output(self._topics.moves, move))  # again, when the frozen row is durable
            return False
        transfer = history.transfer
        arrive = Move(
            "arrive",
            transfer.id,
            transfer.to,
            transfer.at,
            profile=profile_to_json(profile, move.email),
            mapping=self._fold.codec.version,
        )
        effects.outputs.append(move_output(self._topics.moves, arrive))
        ids = profile.ids  # stay: what was folded here must be known here when it is repeated
        self._forget(profile)
        profile.ids = ids
        profile.history = AddressHistory(history.moved_to, [], None, history.erased_at)
        _add_move(profile.history, transfer.at, transfer.to)
        return True

    def _merge_profile(self, profile: Profile, move: Move, effects: BatchEffects, now_ms: EpochMillis) -> bool:
        mark = fingerprint(move.id)
        if seen(profile.ids, mark):
            return False
        if self._forward(profile, move, effects):
            return False
        if (
            profile.history is not None
            and profile.history.erased_at is not None
            and move.at <= profile.history.erased_at
        ):
            effects.dropped_erased += 1
            return False
        running = self._fold.codec.version
        if move.mapping not in ("", running):
            raise ForeignMappingError(move.mapping, running)
        # No version: an older release wrote it. `merge_stored` refuses it unless all its parts are this layout's.
        public, hidden, ids, came_from, removals = profile_from_json(move.profile)
        merge_stored(self._layout, profile.fields, public, hidden, move.email)
        joined, early = both(profile.ids, ids, self._cap)
        profile.ids, early_too = remember(joined, entry(mark, now_ms // MINUTE_MS), self._cap)
        effects.forgotten_early += early + early_too
        profile.removals = with_removals(profile.removals, removals)
        profile.history = profile.history or AddressHistory()
        known = dict.fromkeys([*profile.history.came_from, *came_from])
        known.pop(move.email, None)
        profile.history.came_from = list(known)[-_MAX_MOVES:]
        return True

    def _fold_forwarded(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        stream = self._fold.streams.get(move.stream)
        if stream is None:
            raise ValueError(f"an event of stream {move.stream}, which is not mapped")
        _, event = stream.reader.read(
            StoredRecord(move.arrival % STREAM_RANK, None, move.value.encode(), move.timestamp)
        )
        history = profile.history
        if history is not None and history.erased_at is not None and event.ms <= history.erased_at:
            effects.dropped_erased += 1
            return False
        if self._forward(profile, move, effects):
            return False
        # Streams are ranked by the mappings: the event keeps its offset, and gets the rank that its stream has here.
        arrival = stream.rank * STREAM_RANK + move.arrival % STREAM_RANK
        return self._fold.fold_event(profile, move.email, stream, event, move.id, arrival, effects)

    def _forward(self, profile: Profile, move: Move, effects: BatchEffects) -> bool:
        """Publish the move for the next address; True when there is one. A frozen row's is this address, again.

        Nothing may overtake the profile: it carries the ids by which a repeated event is known.
        """
        if profile.history is None:
            return False
        here = (move.at, move.email)
        at, to = here if profile.history.transfer is not None else profile.history.next_hop(move.at) or here
        if (at, to) == here and profile.history.transfer is None:
            return False
        effects.outputs.append(move_output(self._topics.moves, replace(move, at=at, email=to)))
        effects.forwarded += 1
        return True

    # -- erasure

    def _erase(self, profile: Profile, move: Move, effects: BatchEffects, now_ms: EpochMillis) -> bool:
        history = profile.history or AddressHistory()
        known = bool(profile.fields or history.moved_to or history.came_from or history.transfer)
        others = [
            *history.came_from,
            *(to for _, to in history.moved_to),
            *([history.transfer.to] if history.transfer else []),
        ]
        visited = {*move.visited, move.email}
        for other in dict.fromkeys(others):
            if other not in visited:
                further = Move("erase", move.id, other, move.at, visited=(*sorted(visited), *others))
                effects.outputs.append(move_output(self._topics.moves, further))
        receipt = ErasureReceipt(
            request_id=move.id,
            email_sha256=digest_of(move.email),
            outcome="erased" if known else "unknown",
            requested_at=rfc3339(move.at),
            erased_at=rfc3339(now_ms),
        )
        effects.outputs.append(Output(self._topics.erasures, move.id.encode(), receipt.to_bytes()))
        if self._topics.memberships is not None:
            command = orjson.dumps({"do": "erase", "at": move.at})
            effects.outputs.append(Output(self._topics.memberships, move.email.encode(), command))
        self._forget(profile)
        profile.history = AddressHistory(erased_at=max(move.at, history.erased_at or move.at))
        return True

    def _forget(self, profile: Profile) -> None:
        profile.fields, profile.ids, profile.removals = self._fold.codec.empty().fields, b"", ()


def _add_move(history: AddressHistory, at: EpochMillis, to: str) -> None:
    history.moved_to = sorted({*history.moved_to, (at, to)})[-_MAX_MOVES:]
