"""Claims of people to addresses that are other people's keys, as rows keep them; rules: `rules/claims.py`. Pure.

And orders to give the subscriber of a former address the present one; rules: `rules/orders.py`.

The person's row keeps them by the address, the address's row by the person: in the order in which they came.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.envelope import EpochMillis

ASKED, REFUSED, GRANTED, REVOKED, LEFT = range(5)
"""States of a claim. At one number they only grow, so what comes twice, or late, changes nothing."""


class AddressClaim(NamedTuple):
    """A person's claim to an address on a list."""

    number: int
    """Of the claim's newest message: milliseconds at first, greater with each change of what the person wants."""
    state: int
    """ASKED, REFUSED (waits for the address), GRANTED, REVOKED (to be given back), LEFT (to be reported)."""
    removed: EpochMillis = 0
    """In the address's row: when a job took the one before off the list: no refusal of the address. 0: no job did."""


class RenameOrder(NamedTuple):
    """Give the subscriber of a former address the present one. It is reported to the row of the former address."""

    since: EpochMillis
    """When the person came to this row's address."""
    lent: EpochMillis
    """When they left the former one; 0: nobody waits for the report."""
    done: bool = False
    """It was carried out, and has to be reported."""


class OwnAddress(NamedTuple):
    """An address that a person gave themselves in the preference center; rules: `rules/own_addresses.py`."""

    replaced: str
    """The address that the jobs had written."""
    address: str
    at: EpochMillis
    """When they changed it, as a webhook reported."""
    former: str
    """The one before, which a call that was under way may have written meanwhile."""


class KnownSubscriber(NamedTuple):
    """What is known of one person on a list, beside what was delivered: as in `Held`, field by field."""

    address: str | None = None
    audiences: tuple[str, ...] = ()
    code: int = 0
    used_entry: EpochMillis = 0
    removed: EpochMillis = 0
    last_removed: EpochMillis = 0
    chosen: OwnAddress | None = None


class AddressArrival(NamedTuple):
    """Somebody came to an address: what was known of whoever had it, and of them, in case the former one leaves.

    Until an answer of the list is recorded: from then on it is about the address, whoever has it.
    """

    at: EpochMillis
    before: KnownSubscriber
    came: KnownSubscriber


AddressClaims = dict[str, dict[str, AddressClaim]]
"""By list, then by address or by claimant."""


def encode_claims(claims: AddressClaims) -> dict[str, Any]:
    """Return claims as JSON."""
    return {list_id: {name: [*claim] for name, claim in named.items()} for list_id, named in claims.items()}


def decode_claims(claims: dict[str, Any]) -> AddressClaims:
    """Read what `encode_claims` wrote."""
    return {list_id: {name: AddressClaim(*claim) for name, claim in named.items()} for list_id, named in claims.items()}


def encode_arrival(arrival: AddressArrival) -> list[Any]:
    """Return an arrival as JSON."""
    return [arrival.at, *([*known[:-1], known.chosen and [*known.chosen]] for known in (arrival.before, arrival.came))]


def decode_arrival(arrival: list[Any]) -> AddressArrival:
    """Read what `encode_arrival` wrote."""
    at, before, came = arrival
    return AddressArrival(at, _decode_known(before), _decode_known(came))


def _decode_known(known: list[Any]) -> KnownSubscriber:
    address, audiences, code, used_entry, removed, last_removed, chosen = known
    own = OwnAddress(*chosen) if chosen else None
    return KnownSubscriber(address, tuple(audiences), code, used_entry, removed, last_removed, own)


def remove_claim(claims: AddressClaims, list_id: str, name: str) -> None:
    """Drop a claim, in place."""
    del claims[list_id][name]
    if not claims[list_id]:
        del claims[list_id]


def holder_of(claimants: Mapping[str, AddressClaim]) -> str | None:
    """Return who has the address, or is still to give it back."""
    return next((by for by, claim in claimants.items() if claim.state in (GRANTED, REVOKED)), None)


def state_of(claims: AddressClaims, list_id: str, address: str | None) -> int:
    """Return the state of a claim; ASKED where there is none."""
    claim = claims.get(list_id, {}).get(address or "")
    return ASKED if claim is None else claim.state
