"""How the answer to a request changes the row, and which receipts it gives: another input of the row's fold.

A request carries a person as they were when it was made (`Carried`). Its answer is applied to the newest row: what
was carried counts as told, and what came later stays due. Each change ends in exactly one receipt for each job that
exports its audience; the row remembers by job up to which position its changes are answered.
"""

import hashlib
from dataclasses import dataclass

import orjson

from schemas.audience_delivery import Outcome, Refusal
from streams.domain.desired import Wanted
from streams.domain.exports import JobView, ListView
from streams.domain.routing import INACTIVE
from streams.domain.rows import Held, Millis, Row, Said


@dataclass(frozen=True, slots=True)
class Answer:
    """A change that waits for its receipt from one job."""

    job_id: str
    position: int
    appended: Millis
    enters: bool
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """One person in one request to one list, as of when it was made."""

    key: bytes
    partition: int
    list_id: str
    wanted: Wanted
    answers: tuple[Answer, ...]
    seen: int
    """The highest position among the person's changes: everything up to it is in this request."""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """The final word on one change, before it is put into the words of the topic."""

    job_id: str
    list_id: str
    position: int
    outcome: Outcome
    appended: Millis
    address: str | None = None
    audiences: tuple[str, ...] = ()
    reason: Refusal | None = None
    code: int | None = None
    message: str | None = None
    attempts: int = 0


def answers_owed(row: Row, listed: ListView) -> tuple[Answer, ...]:
    """Return the changes that wait for a receipt from the list's running jobs, in order of their position.

    A snapshot that changed several audiences is one change; it counts as entering when it entered any.
    """
    held = row.lists.get(listed.list_id)
    owed: dict[tuple[str, int], Answer] = {}
    for view in listed.running:
        said = held.said.get(view.id) if held is not None else None
        answered, also = (-1, ()) if said is None else (said.answered, said.also)
        for audience, standing in row.audiences.items():
            if standing.position <= answered or standing.position in also or not view.exports(audience):
                continue
            if not counts(view, standing.since, inside=standing.inside):
                continue
            known = owed.get((view.id, standing.position))
            enters = standing.inside or (known is not None and known.enters)
            owed[view.id, standing.position] = Answer(view.id, standing.position, standing.appended, enters)
        for it in row.owed:
            if it.list_id == listed.list_id and it.position > answered and view.exports(it.audience):
                owed.setdefault(
                    (view.id, it.position), Answer(view.id, it.position, it.appended, not it.rank & 1, overtaken=True)
                )
    return tuple(sorted(owed.values(), key=lambda it: (it.position, it.job_id)))


def counts(view: JobView, at: Millis, *, inside: bool) -> bool:
    """Say whether a change is one for the job: since it began, or an entry before that with existing users."""
    return at >= view.started or (inside and view.job.existing_users)


def seen_up_to(row: Row) -> int:
    """Return the highest position among the person's changes."""
    standing = max((it.position for it in row.audiences.values()), default=-1)
    return max(standing, max((it.position for it in row.owed), default=-1))


def delivered(row: Row, carried: Carried, address: str | None, *, added: bool | None = None) -> list[Receipt]:
    """The list took what was carried.

    `address`: under which the subscriber stands there now, None when they were taken off it; `added`: whether the list
    says it was new, None when it does not say.
    """
    held = row.lists.setdefault(carried.list_id, Held())
    wanted = carried.wanted
    new = held.address is None if added is None else added
    had = bool(held.audiences)
    _tell(row, held, carried)
    held.code, held.asked = 0, False
    held.address = address
    held.audiences = list(wanted.audiences) if address else []
    held.digest = content_digest(wanted) if address else ""
    entered = Outcome.ADDED if new else Outcome.UPDATED
    left = Outcome.REMOVED if had else Outcome.UNCHANGED
    return [_receipt(carried, it, entered if it.enters else left, held) for it in carried.answers]


def refused(row: Row, carried: Carried, reason: Refusal, code: int | None, message: str | None = None) -> list[Receipt]:
    """The list, or a rule of ours, does not take the person: settled until what is wanted changes."""
    held = row.lists.setdefault(carried.list_id, Held())
    _tell(row, held, carried)
    held.code = code or -1
    held.asked = carried.wanted.resubscribe and not carried.wanted.rules
    if code in INACTIVE and held.address is None:
        held.address = carried.wanted.address
    held.audiences = [it for it in held.audiences if it in carried.wanted.audiences]
    return [_receipt(carried, it, Outcome.REFUSED, held, reason, code, message) for it in carried.answers]


def unchanged(row: Row, carried: Carried) -> list[Receipt]:
    """Nothing differs, or nobody was ever there: no call was needed."""
    held = row.lists.setdefault(carried.list_id, Held())
    _tell(row, held, carried)
    return [_receipt(carried, it, Outcome.UNCHANGED, held) for it in carried.answers]


def forget(row: Row, list_id: str) -> bool:
    """Take nothing for granted any more about what a list holds for the person, so that it is sent again."""
    held = row.lists.get(list_id)
    if held is None:
        return False
    for said in held.said.values():
        said.digest = ""
    held.digest = ""
    row.due = True
    return True


def content_digest(wanted: Wanted) -> str:
    """Name what was written: address, name, options and values."""
    values = [(value.field, value.texts) for value in wanted.values]
    text = orjson.dumps([wanted.address, wanted.name, wanted.options, values])
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _tell(row: Row, held: Held, carried: Carried) -> None:
    for job, digest in carried.wanted.digests.items():
        said = held.said.get(job)
        answered = carried.seen if said is None else max(said.answered, carried.seen)
        also = () if said is None else tuple(it for it in said.also if it > answered)
        held.said[job] = Said(digest, answered, also)
    held.seen = max(held.seen, carried.seen)
    row.owed = [it for it in row.owed if it.list_id != carried.list_id or it.position > carried.seen]


def _receipt(
    carried: Carried,
    answer: Answer,
    outcome: Outcome,
    held: Held,
    reason: Refusal | None = None,
    code: int | None = None,
    message: str | None = None,
) -> Receipt:
    if answer.overtaken:
        outcome, reason, code = Outcome.SUPERSEDED, None, None
    notes = carried.wanted.notes if message is None else (message, *carried.wanted.notes)
    return Receipt(
        answer.job_id,
        carried.list_id,
        answer.position,
        outcome,
        answer.appended,
        carried.wanted.address,
        tuple(held.audiences),
        reason,
        code,
        "; ".join(notes) or None,
        carried.attempts,
    )
