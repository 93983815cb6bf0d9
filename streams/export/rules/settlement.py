"""What an answer of Campaign Monitor changes in the row, and which receipts it gives. Pure.

A request includes a person as they were when it was made (`WrittenState`). Its answer is applied to the newest row:
what was included counts as delivered, and what came later stays due. Each change ends in exactly one receipt for each
job that exports its audience; the row records by job up to which position its changes have their receipts.
"""

import hashlib
from dataclasses import dataclass, replace

import orjson

from schemas.audience_delivery import Outcome, Refusal
from schemas.envelope import EpochMillis
from streams.export.rules.codes import INACTIVE, refused_sentence
from streams.export.rules.desired import LEFT, DesiredSubscriber, is_concerned
from streams.export.rules.jobs import ExitPolicy, JobView, ListView
from streams.export.rules.orders import leaver_to
from streams.export.rules.own_addresses import end_chosen, missed
from streams.export.rules.row import (
    FIELDS_CHANGED,
    NEVER,
    REPEATED,
    AudienceEntry,
    DeliveredPart,
    Held,
    MembershipRow,
    PendingChange,
)

CLOCKS_MS = 120_000
"""How far Campaign Monitor's clock may be from ours, whole minutes included."""
NOT_KNOWN_AS_NEW = "On the list now; whether they were on it before is not known"
_OTHERWISE = {FIELDS_CHANGED: Outcome.UPDATED, REPEATED: Outcome.UNCHANGED}


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """A change that waits for its receipt from one job."""

    job_id: str
    position: int
    appended: EpochMillis
    enters: bool
    superseded: bool = False
    otherwise: Outcome | None = None
    """Of a change that enters and leaves nothing: its outcome when the list accepted what was written."""


@dataclass(frozen=True, slots=True)
class WrittenState:
    """One person in one request to one list, as of when it was made."""

    key: bytes
    partition: int
    list_id: str
    desired: DesiredSubscriber
    answers: tuple[PendingAnswer, ...]
    seen: int
    """The highest position among the person's changes: everything up to it is in this request."""
    attempts: int = 1
    next_of_former: str | None = None
    """Where whoever had the address before went, while their order for it is awaited."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of one change for one job; `recovery/receipts.py` serialises it to `audience-delivery`."""

    job_id: str
    list_id: str
    position: int
    outcome: Outcome
    appended: EpochMillis
    address: str | None = None
    audiences: tuple[str, ...] = ()
    reason: Refusal | None = None
    code: int | None = None
    message: str | None = None
    attempts: int = 0
    taken_off: ExitPolicy | None = None


def pending_answers(row: MembershipRow, listed: ListView) -> tuple[PendingAnswer, ...]:
    """Return the changes that wait for a receipt from the list's running jobs, in order of their position.

    A snapshot that changed several audiences is one change; it counts as entering when it entered any.
    """
    held = row.lists.get(listed.list_id)
    pending: dict[tuple[str, int], PendingAnswer] = {}
    for view in listed.running:
        part = held.delivered.get(view.id) if held is not None else None
        answered, also = (-1, ()) if part is None else (part.answered, part.also)
        early = row.answered.get(view.id, ())
        for audience, entry in row.audiences.items():
            if entry.position <= answered or entry.position in also or not view.exports(audience):
                continue
            if entry.position in early or not concerns_job(row, view, entry.since):
                continue
            known = pending.get((view.id, entry.position))
            enters = entry.inside or (known is not None and known.enters)
            pending[view.id, entry.position] = PendingAnswer(view.id, entry.position, entry.appended, enters)
        for change in row.pending:
            unanswered = change.position > answered and change.position not in (*also, *early)
            if change.list_id == listed.list_id and unanswered and view.exports(change.audience):
                overtaken = change.rank in _OTHERWISE and _is_overtaken(row, view, change.position)
                other = None if overtaken else _OTHERWISE.get(change.rank)
                enters = other is None and not overtaken and not change.rank & 1
                answer = PendingAnswer(view.id, change.position, change.appended, enters, other is None, other)
                pending.setdefault((view.id, change.position), answer)
    return tuple(sorted(pending.values(), key=lambda answer: (answer.position, answer.job_id)))


def state_to_write(
    key: bytes, partition: int, row: MembershipRow, listed: ListView, desired: DesiredSubscriber, attempts: int
) -> WrittenState:
    """Return what is written of a row as it is now, with the changes that the answer is for."""
    changes: list[AudienceEntry | PendingChange] = [*row.audiences.values(), *row.pending]
    seen = max((change.position for change in changes), default=-1)
    went = leaver_to(row, listed.list_id) if row.moves else None
    return WrittenState(key, partition, listed.list_id, desired, pending_answers(row, listed), seen, attempts, went)


def _is_overtaken(row: MembershipRow, view: JobView, position: int) -> bool:
    """Whether the person has left the last of the job's audiences by a change after this position."""
    entries = [entry for audience, entry in row.audiences.items() if view.exports(audience)]
    return not any(entry.inside for entry in entries) and any(entry.position > position for entry in entries)


def concerns_job(row: MembershipRow, view: JobView, since: EpochMillis) -> bool:
    """Whether a change in force is one for the job: since it began, or about a person that it exports anyway."""
    return since >= view.started or is_concerned(row, view)


def record_delivered(
    row: MembershipRow,
    written: WrittenState,
    address: str | None,
    *,
    added: bool | None = None,
    removed: EpochMillis = 0,
    gone: bool = False,
    message: str | None = None,
) -> list[Receipt]:
    """Record that the list accepted what was written, and return the receipts.

    `address`: under which the subscriber is on the list now, None when they were taken off it; `added`: whether they
    are new on it, None when that is not known; `removed`: when somebody active was taken off; `gone`: nobody was there.
    """
    held = row.lists.setdefault(written.list_id, Held())
    desired = written.desired
    had = bool(held.audiences)
    if gone:
        address = missed(held, desired.address)
    entry_message = message
    if added is None and held.address is None and address and desired.present:
        entry_message = message or NOT_KNOWN_AS_NEW
    _record_parts(row, held, written)
    held.code, held.last_removed = 0, removed or held.last_removed
    # Who is found off the list, after a crash for example, was taken off by the removal that is recorded.
    held.removed = removed or (0 if desired.present else held.removed)
    held.used_entry = max(held.used_entry, desired.entered)
    if removed and row.own_acts.get(written.list_id, NEVER) >= removed - CLOCKS_MS:
        del row.own_acts[written.list_id]  # the webhook of our removal came before its answer
    held.address = address
    end_chosen(held, address)
    held.audiences = list(desired.audiences) if address else []
    held.digest = content_digest(desired) if address else ""
    entered = Outcome.ADDED if added else Outcome.UPDATED
    left = Outcome.REMOVED if (had or removed) and not gone else Outcome.UNCHANGED
    receipts = [
        _receipt(written, answer, entered, held, message=entry_message)
        if answer.enters
        else _receipt(
            written,
            answer,
            (not gone and answer.otherwise) or left,
            held,
            message=message if gone or answer.otherwise else None,
        )
        for answer in written.answers
    ]
    if not removed:
        return receipts
    ended = Outcome.SUPERSEDED  # it took nobody off
    return [given if given.outcome is ended else replace(given, taken_off=desired.on_exit) for given in receipts]


def record_refused(
    row: MembershipRow,
    written: WrittenState,
    reason: Refusal,
    code: int | None,
    message: str | None = None,
    address: str | None = None,
    *,
    gone: EpochMillis = 0,
) -> list[Receipt]:
    """Record that the list, or a rule of ours, does not accept the person: final until the desired state changes.

    `address`: under which the subscriber was written all the same; None: not at all. `gone`: when the list was found
    not to know them any more; 0: it does.
    """
    held, desired = row.lists.setdefault(written.list_id, Held()), written.desired
    _record_parts(row, held, written)
    if code in INACTIVE and desired.present:
        held.removed = 0  # who was removed by a job is made active again: this refusal is their own
        if not (desired.resubscribe and desired.consent_rules):  # there a later consent counts, without another entry
            held.used_entry = max(held.used_entry, desired.entered)
    if gone:
        row.own_acts[written.list_id] = max(gone, row.own_acts.get(written.list_id, NEVER))
    held.code = code or -1
    held.address = address or held.address
    if code in INACTIVE and held.address is None:
        held.address = desired.address
    held.audiences = [audience for audience in held.audiences if audience in desired.audiences]
    sentence = message or refused_sentence(reason, code)
    return [_receipt(written, answer, Outcome.REFUSED, held, reason, code, sentence) for answer in written.answers]


def record_unchanged(row: MembershipRow, written: WrittenState) -> list[Receipt]:
    """Record that no call was needed: nothing differs, or the person was never on the list."""
    held = row.lists.setdefault(written.list_id, Held())
    _record_parts(row, held, written)
    return [_receipt(written, answer, Outcome.UNCHANGED, held) for answer in written.answers]


def content_digest(desired: DesiredSubscriber) -> str:
    """Return the hash of what was written: address, name, options and values."""
    values = [(value.field, value.texts) for value in desired.values]
    text = orjson.dumps([desired.address, desired.name, desired.options, values])
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _record_parts(row: MembershipRow, held: Held, written: WrittenState) -> None:
    for job, digest in written.desired.digests.items():
        part = held.delivered.get(job)
        answered = written.seen if part is None else max(part.answered, written.seen)
        also = () if part is None else tuple(position for position in part.also if position > answered)
        exported = not digest.startswith(LEFT) or (part is not None and part.exported)
        held.delivered[job] = DeliveredPart(digest, answered, also, exported)
    held.seen = max(held.seen, written.seen)
    held.arrival = None
    row.pending = [
        change for change in row.pending if change.list_id != written.list_id or change.position > written.seen
    ]


def _receipt(
    written: WrittenState,
    answer: PendingAnswer,
    outcome: Outcome,
    held: Held,
    reason: Refusal | None = None,
    code: int | None = None,
    message: str | None = None,
) -> Receipt:
    if answer.superseded:
        outcome, reason, code, message = Outcome.SUPERSEDED, None, None, None
    notes = written.desired.notes if message is None else (message, *written.desired.notes)
    return Receipt(
        answer.job_id,
        written.list_id,
        answer.position,
        outcome,
        answer.appended,
        written.desired.address,
        tuple(held.audiences),
        reason,
        code,
        "; ".join(notes) or None,
        written.attempts,
    )
