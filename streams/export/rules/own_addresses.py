"""Addresses that people give themselves at Campaign Monitor, in the preference center. Pure.

Upstream goes on with the former address, which is the row's key or a field's value. The row keeps both: the subscriber
is written, and taken off, under the address that the person chose, until upstream asks for another one than before.

    webhook          an update that is no echo, with the former address: the owner of the new one sends it to the owner
                     of the former one (`readdress` on `cm_membership-commands`)
    readdress        the row whose subscriber has the former address records the new one
    claimants_of     the row of an address that its person did not have sends it on to whoever may have it
    chosen_of        what is desired has the chosen address; a claim to it is asked for, as for any that is no own key
"""

from collections.abc import Container, Iterable

from schemas.cm_activity import CmActivity
from schemas.identity import normalise_email
from schemas.membership_command import AnswerClaim, Readdress
from streams.export.rules.address_claims import REFUSED, OwnAddress
from streams.export.rules.due import mark_due
from streams.export.rules.row import Held, MembershipRow, UnansweredCalls


def reported_by(activity: CmActivity, email: str) -> Readdress | None:
    """Return the change of address that a webhook reports, to be sent to the former address; None: it reports none."""
    former = normalise_email(activity.old_email or "")
    if activity.event != "update" or activity.echo or former in (None, email) or activity.list_id is None:
        return None
    return Readdress(activity.list_id, former or "", email, int(activity.at.timestamp() * 1000))


def readdress(row: MembershipRow, key: str, change: Readdress, asked: Container[str | None]) -> bool:
    """Record the address that the person has on the list now, in place. False: it is no change of this subscriber.

    `asked`: addresses that the jobs ask for now; one of these is no choice of the person. What may be on the list under
    the former address, from a call that was made meanwhile, only a look shows; a claim to it is kept until then.
    """
    held = row.lists.get(change.list_id)
    if held is None or (held.chosen is not None and change.at < held.chosen.at):
        return False
    was_missed = held.address is None and change.former == key and not held.removed and _was_exported(held)
    if held.address != change.former and not was_missed:
        return False
    held.address = change.to
    if change.to not in asked or held.chosen is not None:
        before = held.chosen.replaced if held.chosen is not None else change.former
        held.chosen = OwnAddress(before, change.to, change.at, change.former)
    held.late = UnansweredCalls(change.at, addresses=(change.former,)).and_(held.late)
    mark_due(row)
    return True


def claimants_of(row: MembershipRow, key: str, change: Readdress) -> Iterable[str]:
    """Return who may be the subscriber that had this row's address; of these, whoever is applies the change."""
    return row.claimants.get(change.list_id, {}) if key == change.former else ()


def chosen_of(held: Held | None, address: str | None) -> str | None:
    """Return the address that the person has in place of what a job asks for."""
    chosen = held.chosen if held is not None else None
    return chosen.address if chosen is not None and address == chosen.replaced else address


def end_chosen(held: Held, written: str | None) -> None:
    """Forget, in place, what the person chose once another address was written that upstream asked for later."""
    chosen = held.chosen
    if chosen is not None and written not in (None, chosen.replaced, chosen.address, chosen.former):
        held.chosen = None


def missed(held: Held, written: str | None) -> str | None:
    """Return the address that the person chose while a call for the one before, that found nobody, was under way."""
    chosen = held.chosen
    return chosen.address if chosen is not None and written in (chosen.replaced, chosen.former) else None


def forget_refused(row: MembershipRow, answer: AnswerClaim) -> None:
    """Leave, in place, a chosen address to its own person, who is exported under it: the subscriber is theirs."""
    held = row.lists.get(answer.list_id)
    if held is not None and answer.state == REFUSED and held.address == answer.address:
        held.address, held.audiences, held.digest = None, [], ""


def _was_exported(held: Held) -> bool:
    return any(part.exported for part in held.delivered.values())
