"""What an answer means for the person in the queue: settled, to be tried another way, or to wait."""

from schemas.audience_delivery import Refusal
from streams.delivery.courier import Answered
from streams.delivery.ledger import REFUSALS
from streams.delivery.parcel import Settled
from streams.domain.outcome import Again, Delivered, Halt, Mend, NotThere, Occupied, Refused, Split
from streams.domain.routing import INACTIVE, Kind, Route
from streams.domain.sending import Queue

NOT_UNDERSTOOD = "Campaign Monitor does not understand it"
# A field or segment that was just read as gone is made by the next request: no use in waiting longer.
MEND_SECONDS = 1.0


def judge(answer: Answered, together: int, queue: Queue, now: float) -> Settled | Again | Halt | Mend | None:
    """Return what is final, or what else has to be done; who goes another way is put back into the queue here.

    `together`: how many people the request carried.
    """
    parcel, decision = answer.parcel, answer.decision
    waiting, carried = parcel.waiting, parcel.carried
    if carried is None or parcel.route is None:
        return None
    waiting.attempts += 1
    doubts = waiting.doubts
    match decision:
        case Delivered():
            return Settled(carried, waiting, answer.address, answer.added)
        case Refused(code=code) if code in INACTIVE and parcel.route.kind is Kind.IMPORT and not doubts.code:
            doubts.code = code  # what the list still holds, or the jobs' rule, has a word first
            queue.put_back(waiting, Route(Kind.REFUSE if carried.wanted.present else Kind.UPDATE))
            return None
        case Refused(code=code):
            return Settled(carried, waiting, refusal=Refusal(REFUSALS.get(code, "invalid")), code=code)
        case NotThere():
            doubts.absent = doubts.absent or answer.absent
            doubts.moved_on = doubts.moved_on or not answer.absent
            queue.put_back(waiting, Route(Kind.IMPORT))
            return None
        case Occupied():
            doubts.moved_on = True
            queue.put_back(waiting, Route(Kind.IMPORT))
            return None
        case Split(code=code) if together == 1:
            return Settled(carried, waiting, refusal=Refusal.INVALID, code=code, message=NOT_UNDERSTOOD)
        case Split():
            waiting.share = max(1, together // 2)
            queue.put_back(waiting, parcel.route)
            return None
        case Mend():
            queue.again(waiting, now + MEND_SECONDS)
            return decision
        case Again(after=after, unsure=unsure):
            doubts.unsure = doubts.unsure or unsure
            doubts.absent = doubts.absent and not unsure
            queue.again(waiting, now + after)
            return decision
        case Halt(after=after):
            queue.again(waiting, now + after)
            return decision
