"""One request and the answers for its people: a kind of call each, no retry, no row.

Every function returns one `Answered` for each parcel. What an answer means for the person is decided in
`streams.domain.outcome`; what becomes of the row, by the sender.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import NO_AUTORESPONDERS, Autoresponders
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import refusal
from streams.delivery.parcel import Parcel
from streams.delivery.writes import effects_of, holds, subscriber_of, taken_away
from streams.domain.desired import Wanted
from streams.domain.outcome import Decision, Delivered, NotThere, Occupied, Refused, decide
from streams.domain.routing import INACTIVE, Kind, Route, moves
from streams.domain.values import option_text

# Dates of Campaign Monitor have whole minutes: a consent counts as later only when the minute is over.
MINUTE_MS = 60_000

ToUtc = Callable[[str], Awaitable[datetime]]
"""Reads a date of the client."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back about one person."""

    parcel: Parcel
    decision: Decision
    address: str | None = None
    added: bool | None = None
    absent: bool = False
    """Asked: what an unknown request should have written is not there."""


class Courier:
    """Makes the requests of one list."""

    def __init__(self, api: CampaignMonitor, list_id: str, name_of: Callable[[str], str], to_utc: ToUtc) -> None:
        self._api = api
        self._list_id = list_id
        self._name_of = name_of
        self._to_utc = to_utc

    async def carry(self, route: Route, parcels: Sequence[Parcel], keys: Mapping[str, str]) -> list[Answered]:
        """Make the request, and say what came back for each of its people.

        Never raises for what Campaign Monitor says.
        """
        if route.kind is Kind.IMPORT:
            return await self._import(route, parcels, keys)
        return [await self._one(route, parcel, keys) for parcel in parcels]

    async def kept(self, parcel: Parcel) -> bool | None:
        """Read a subscriber that was just written: did the list keep the values? None when that could not be read."""
        try:
            found = await self._read(_address(parcel))
        except CampaignMonitorError:
            return None
        return None if found is None else holds(found, _wanted(parcel))

    async def _import(self, route: Route, parcels: Sequence[Parcel], keys: Mapping[str, str]) -> list[Answered]:
        effects = effects_of(route, repeated=False)
        addressed = [(parcel, _address(parcel)) for parcel in parcels]
        writes = [subscriber_of(_wanted(parcel), address, keys) for parcel, address in addressed]
        try:
            result = await self._api.subscribers.import_(self._list_id, writes, effects)
        except CampaignMonitorError as error:
            return [Answered(parcel, decide(error.verdict, parcel.waiting.attempts + 1)) for parcel in parcels]
        failures = {it.email.casefold(): it.code for it in result.failures}
        taken = len(parcels) - len(failures)
        added = True if result.new >= taken > 0 else False if result.new == 0 else None
        answered: list[Answered] = []
        for parcel, address in addressed:
            code = failures.get(address.casefold())
            if code is None:
                answered.append(Answered(parcel, Delivered(), address, added))
            else:
                answered.append(Answered(parcel, decide(refusal(code), parcel.waiting.attempts + 1)))
        return answered

    async def _one(self, route: Route, parcel: Parcel, keys: Mapping[str, str]) -> Answered:
        try:
            match route.kind:
                case Kind.UPDATE:
                    return await self._update(parcel, keys, effects_of(route, repeated=parcel.waiting.doubts.unsure))
                case Kind.LEAVE:
                    return await self._leave(parcel, keys)
                case Kind.STRIP:
                    return await self._strip(parcel, keys)
                case Kind.ASK:
                    return await self._ask(parcel)
                case _:
                    return await self._consult(route, parcel, keys)
        except CampaignMonitorError as error:
            return Answered(parcel, decide(error.verdict, parcel.waiting.attempts + 1))

    async def _update(self, parcel: Parcel, keys: Mapping[str, str], effects: Autoresponders) -> Answered:
        """PUT; the former address, when there is one, is changed in place."""
        want, held = _wanted(parcel), parcel.held
        address = _address(parcel)
        former = held.address if held is not None and moves(held, want, parcel.waiting.doubts) else None
        write = subscriber_of(want, address, keys)
        try:
            await self._api.subscribers.update(self._list_id, former or address, write, effects)
        except CampaignMonitorError as error:
            decision = decide(error.verdict, parcel.waiting.attempts + 1)
            if isinstance(decision, Occupied) and former is not None:
                # Both addresses are on the list: the former one gives up what it had, the other is written next.
                await self._api.subscribers.update(self._list_id, former, taken_away(want, (), former, keys))
            if isinstance(decision, NotThere) and not want.present:
                return Answered(parcel, Delivered(), None)
            if isinstance(decision, NotThere) and former is None:
                return Answered(parcel, Refused(203, "not_a_subscriber"))
            return Answered(parcel, decision)
        return Answered(parcel, Delivered(), address, added=False)

    async def _leave(self, parcel: Parcel, keys: Mapping[str, str]) -> Answered:
        """Clear the field, then take the person off the list: whoever comes back later finds no old audiences."""
        want, address = _wanted(parcel), _address(parcel)
        try:
            await self._api.subscribers.update(self._list_id, address, subscriber_of(want, address, keys))
            if want.leaving == "delete":
                await self._api.subscribers.delete(self._list_id, address)
            else:
                await self._api.subscribers.unsubscribe(self._list_id, address)
        except CampaignMonitorError as error:
            decision = decide(error.verdict, parcel.waiting.attempts + 1)
            inactive = isinstance(decision, Refused) and decision.code in INACTIVE
            if isinstance(decision, NotThere) or inactive:
                return Answered(parcel, Delivered(), None)
            return Answered(parcel, decision)
        return Answered(parcel, Delivered(), None)

    async def _strip(self, parcel: Parcel, keys: Mapping[str, str]) -> Answered:
        """Take away what is no longer true from somebody whom the list refuses."""
        want, held = _wanted(parcel), parcel.held
        address = (held.address if held is not None else None) or _address(parcel)
        still = [it for it in (held.audiences if held is not None else ()) if it in want.audiences]
        kept = [option_text(self._name_of(audience)) for audience in still]
        code = parcel.waiting.doubts.code
        try:
            await self._api.subscribers.update(self._list_id, address, taken_away(want, kept, address, keys))
        except CampaignMonitorError as error:
            decision = decide(error.verdict, parcel.waiting.attempts + 1)
            if not isinstance(decision, NotThere | Refused):
                return Answered(parcel, decision)
        return Answered(parcel, Refused(code, ""))

    async def _ask(self, parcel: Parcel) -> Answered:
        """Read the subscriber: was the request applied whose answer got lost?"""
        want, address = _wanted(parcel), _address(parcel)
        found = await self._read(address)
        if found is not None and found.state.casefold() == "active" and holds(found, want):
            return Answered(parcel, Delivered(), address)
        return Answered(parcel, NotThere(), absent=True)

    async def _consult(self, route: Route, parcel: Parcel, keys: Mapping[str, str]) -> Answered:
        """Resubscribe only whose consent is later than the day they left; else the refusal stands."""
        want, address = _wanted(parcel), _address(parcel)
        found = await self._read(parcel.held.address if parcel.held and parcel.held.address else address)
        code = _inactive_code(found, parcel.waiting.doubts.code)
        if code and not (found is not None and await self._consented_since(found, want)):
            return Answered(parcel, Refused(code, ""))
        flags = effects_of(route, repeated=parcel.waiting.doubts.unsure) if code else NO_AUTORESPONDERS
        if not want.may_add or moves(parcel.held, want, parcel.waiting.doubts):
            return await self._update(parcel, keys, flags)
        allowed = Route(Kind.IMPORT, flags.resubscribe, route.queue, flags.restart)
        return (await self._import(allowed, [parcel], keys))[0]

    async def _consented_since(self, found: Subscriber, want: Wanted) -> bool:
        if want.consented is None or found.state.casefold() == "active":
            return False  # suppressed everywhere but active here: when they left is not known
        try:
            left = await self._to_utc(found.date)
        except ValueError:
            return False
        return want.consented >= int(left.timestamp() * 1000) + MINUTE_MS

    async def _read(self, address: str) -> Subscriber | None:
        try:
            return await self._api.subscribers.get(self._list_id, address)
        except CampaignMonitorError as error:
            if isinstance(decide(error.verdict, 1), NotThere):
                return None
            raise


_CODES = {"deleted": 205, "unsubscribed": 206, "bounced": 207, "unconfirmed": 208}


def _inactive_code(found: Subscriber | None, refused: int) -> int:
    return refused or (0 if found is None else _CODES.get(found.state.casefold(), 0))


def _wanted(parcel: Parcel) -> Wanted:
    if parcel.carried is None:
        raise ValueError("a parcel without content was given to the courier")
    return parcel.carried.wanted


def _address(parcel: Parcel) -> str:
    """Return where to write: who leaves is found under the address that the list has."""
    want = _wanted(parcel)
    known = parcel.held.address if parcel.held is not None else None
    address = want.address if want.present else known or want.address
    if address is None:
        raise ValueError("a parcel without address was given to the courier")
    return address
