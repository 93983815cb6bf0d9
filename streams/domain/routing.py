"""Which call brings a list to what it should hold for one person. Pure; consent is decided here and nowhere else.

Resubscribing is a flag of the call, and it is off unless the wanted subscriber says otherwise: then Campaign Monitor
itself refuses (204 to 208) whoever left. What differs from person to person:

    nothing differs                          answer   no call
    no usable address                        refuse   no call
    wanted, may be added                     import   up to 1,000 people a call, who share the same flags
    wanted, on the list under another one    update   PUT with the old address, so nobody is added twice
    wanted, must not be added                update   PUT never adds (203)
    left the last audience                   import   the field is cleared; or PUT when it is not sure who is there
    left, and the job says so                leave    the field is cleared, then unsubscribe or delete
    outcome unknown, mails might go twice    ask      read the subscriber before anything is repeated
    refused, the jobs' rule asks for consent consult  read the time of the unsubscribe, compare, resubscribe or refuse
    refused, but the list holds old options  strip    PUT takes away what is no longer true, and gives nothing new
"""

import enum
from dataclasses import dataclass

from streams.domain.desired import Wanted
from streams.domain.rows import Held

# Codes with which Campaign Monitor protects people who left: suppressed, deleted, unsubscribed, bounced, unconfirmed.
INACTIVE = frozenset({204, 205, 206, 207, 208})


class Kind(enum.Enum):
    """What kind of request carries a person."""

    ANSWER = "answer"
    REFUSE = "refuse"
    IMPORT = "import"
    UPDATE = "update"
    LEAVE = "leave"
    ASK = "ask"
    CONSULT = "consult"
    STRIP = "strip"


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of request and its flags. People with equal routes may share one import."""

    kind: Kind
    resubscribe: bool = False
    queue: bool = False
    restart: bool = False


@dataclass(slots=True)
class Doubts:
    """What a worker knows about one person and list beyond the row: it is gone after a crash, and then all is in doubt.

    `unsure`: a request may have been applied without an answer. `code`: the refusal that an import gave for the wanted
    state. `moved_on`: the former address is not on the list any more (203), or the new one is already (201).
    `absent`: asked, and what the unknown request should have written is not there.
    """

    unsure: bool = False
    code: int = 0
    moved_on: bool = False
    absent: bool = False


ANSWER = Route(Kind.ANSWER)


def is_due(held: Held | None, wanted: Wanted) -> bool:
    """Say whether some running job's part has not been told to Campaign Monitor."""
    if held is None:
        return True
    for job, digest in wanted.digests.items():
        said = held.said.get(job)
        if said is None or said.digest != digest:
            return True
    return bool(held.code in INACTIVE and not held.asked and wanted.resubscribe)


def route_of(held: Held | None, wanted: Wanted, doubts: Doubts) -> Route:
    """Return the call that is next for this person.

    While an earlier request may have been applied, that nothing differs from what is known says nothing: it is sent.
    """
    if not is_due(held, wanted) and not doubts.unsure:
        return ANSWER
    if wanted.present:
        return _presence(held, wanted, doubts)
    return _leaving(held, wanted, doubts)


def _presence(held: Held | None, wanted: Wanted, doubts: Doubts) -> Route:
    if wanted.refused is not None:
        return Route(Kind.REFUSE)
    if doubts.code in INACTIVE:
        if wanted.resubscribe and wanted.rules:
            return Route(Kind.CONSULT, True, wanted.queue, wanted.restart)
        return Route(Kind.STRIP) if stale_audiences(held, wanted) or doubts.unsure else Route(Kind.REFUSE)
    mails = wanted.queue or wanted.restart
    if doubts.unsure and mails and not doubts.absent:
        return Route(Kind.ASK)
    resubscribe = wanted.resubscribe and not wanted.rules
    if moves(held, wanted, doubts) or not wanted.may_add:
        if wanted.resubscribe and wanted.rules:
            return Route(Kind.CONSULT, True, wanted.queue, wanted.restart)
        return Route(Kind.UPDATE, resubscribe, restart=wanted.restart and resubscribe)
    return Route(Kind.IMPORT, resubscribe, wanted.queue, wanted.restart and resubscribe)


def _leaving(held: Held | None, wanted: Wanted, doubts: Doubts) -> Route:
    known = held is not None and held.address is not None
    if not known and not doubts.unsure:
        return ANSWER
    if not known and wanted.address is None:
        return ANSWER
    if wanted.leaving != "keep":
        return Route(Kind.LEAVE)
    sure = known and held is not None and held.code == 0 and not doubts.unsure and not doubts.code
    return Route(Kind.IMPORT) if sure else Route(Kind.UPDATE)


def moves(held: Held | None, wanted: Wanted, doubts: Doubts) -> bool:
    """Say whether the subscriber stands on the list under another address that is to be changed in place."""
    return (
        held is not None
        and held.address is not None
        and held.address != wanted.address
        and wanted.present
        and not doubts.moved_on
    )


def stale_audiences(held: Held | None, wanted: Wanted) -> bool:
    """Say whether the list's field still holds audiences that are no longer wanted."""
    return held is not None and not set(held.audiences) <= set(wanted.audiences)
