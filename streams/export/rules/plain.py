"""Who needs no more than a plain import: nothing odd is known of them, and nothing of theirs is under way. Pure."""

from streams.export.rules.address_claims import AddressClaims
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.rules.row import Held, MembershipRow


def is_plain(row: MembershipRow) -> bool:
    """Whether a due row has one list's worth of news and no history that asks for care."""
    claims: tuple[AddressClaims, AddressClaims] = (row.claims, row.claimants)
    moved = row.former_addresses or row.awaits or row.leaving or row.moves or row.tenures
    return row.due and not (row.pending or row.own_acts or row.answered or moved or any(claims))


def is_plain_import(held: Held | None, desired: DesiredSubscriber, route: RequestRoute) -> bool:
    """Whether a list takes somebody as it takes everybody: who did not leave it, and has no other address there."""
    known = held is None or not (held.code or held.late or held.orders or held.lent or held.chosen or held.removed)
    return known and desired.present and route.kind is RequestKind.IMPORT
