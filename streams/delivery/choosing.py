"""Who of the people that were picked shares the next request."""

from collections.abc import Sequence

from streams.delivery.guard import Guard
from streams.delivery.parcel import Parcel
from streams.domain.routing import Kind, Route
from streams.domain.sending import Queue


def choose(parcels: Sequence[Parcel], queue: Queue, guard: Guard, now: float) -> tuple[list[Parcel], Route | None]:
    """Return the next request's people and their route; who was settled is done, the others go back.

    The first who needs a call says which; who needs the same one comes along, but no address twice: an import that
    holds one twice is refused as a whole, and which of two would win is not known. Removals that the guard holds back
    wait.
    """
    chosen: list[Parcel] = []
    addresses: set[str] = set()
    route: Route | None = None
    for parcel in parcels:
        waiting, carried = parcel.waiting, parcel.carried
        if parcel.settled or parcel.route is None or carried is None:
            queue.done(waiting.key, now)
            continue
        if not carried.wanted.present and (after := guard.holds(waiting, now)) is not None:
            queue.again(waiting, now + after)
            continue
        own = {it for it in (carried.wanted.address, parcel.held and parcel.held.address) if it}
        full = route is not None and route.kind is not Kind.IMPORT
        if full or (route is not None and route != parcel.route) or own & addresses:
            queue.put_back(waiting, parcel.route)
            continue
        route = parcel.route
        addresses |= own
        chosen.append(parcel)
    return chosen, route
