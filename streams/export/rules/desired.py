"""What a list should hold for a person: a pure function of the row, the list's jobs and the audiences' names.

Each job has a part: whether it exports the person, into which audiences, with which values. The row is due while the
digest of a running job's part differs from the one last delivered, or while a change waits for its receipt. What is
written is the union of all parts: jobs on one list share one subscriber. Address, name and consent come from the oldest
job that exports the person.
"""

import enum
import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from schemas.audience_delivery import Refusal
from schemas.control import DataType
from schemas.envelope import EpochMillis
from schemas.identity import normalise_email
from streams.export.rules.entries import consented_at, newest_entry
from streams.export.rules.jobs import ExitPolicy, JobView, ListView, calling, exit_policy
from streams.export.rules.own_addresses import chosen_of
from streams.export.rules.row import NEVER, Held, MembershipRow
from streams.export.rules.values import texts

OptionOf = Callable[[str], str]
"""The option of an audience, by its id."""
Parts = Sequence["JobPart"]
LEFT = "left:"
"""The digest of a part that exports nobody any more begins with it."""


class Membership(enum.Enum):
    """Whether a job exports a person."""

    UNCONCERNED = "unconcerned"
    """Not exported: never in its audiences since the job counts them."""
    PRESENT = "present"
    ABSENT = "absent"
    """Left the last of its audiences while the job counted them."""


@dataclass(frozen=True, slots=True)
class DesiredValue:
    """A custom field's content: the texts to write, none to clear it."""

    field: str
    data_type: DataType
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobPart:
    """What one job contributes to one person's subscriber."""

    view: JobView
    membership: Membership
    audiences: tuple[str, ...] = ()
    """Ids, sorted."""
    address: str | None = None
    refused: Refusal | None = None
    name: str | None = None
    values: tuple[DesiredValue, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""
    """Hash of the part; empty: the job does not concern the person."""


@dataclass(frozen=True, slots=True)
class DesiredSubscriber:
    """The subscriber that a list should hold."""

    address: str | None
    refused: Refusal | None
    present: bool
    """Whether some job exports the person; else they have left."""
    on_exit: ExitPolicy = "keep"
    """What follows when they left; else, for a second subscriber of theirs."""
    name: str | None = None
    audiences: tuple[str, ...] = ()
    """Ids of all audiences that the list's field is to hold."""
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(custom field, option texts) for each audiences field."""
    values: tuple[DesiredValue, ...] = ()
    consent: Literal["Yes", "No", "Unchanged"] = "Unchanged"
    resubscribe: bool = False
    """Whether every job allows it, and an entry may count."""
    entered: EpochMillis = 0
    """Time of the newest entry; 0: there is none, or it was used."""
    left: EpochMillis = NEVER
    """When the person left this list, as a webhook reported."""
    queue: bool = False
    restart: bool = False
    consent_rules: bool = False
    """Whether resubscribing also depends on the time of consent."""
    consented: EpochMillis | None = None
    """With consent rules: the earliest consent that they name; None: some job finds no consent."""
    may_add: bool = True
    authorization: str = ""  # makes the call
    notes: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    """By running job: the digest of its part, delivered once this is written."""


def part_of(
    row: MembershipRow, email: str, view: JobView, option_of: OptionOf, epoch: int = 0, held: Held | None = None
) -> JobPart:
    """Return a job's part. The digest is empty when the job does not concern the person.

    People that a job exported before, and whose audiences are no audiences of the job any more, have left it.
    """
    membership, audiences = membership_of(row, view, exported=was_exported(view, held))
    if membership is Membership.UNCONCERNED and was_exported(view, held):
        membership = Membership.ABSENT
    if membership is Membership.UNCONCERNED:
        return JobPart(view, membership)
    address, refused = address_of(row, email, view)
    address = chosen_of(held, address)
    if membership is Membership.ABSENT:
        return JobPart(view, membership, (), address, refused, digest=LEFT + view.job.on_last_exit)
    job = view.job
    name = _text(row, job.name_field)
    values, notes = _values(row, view)
    content: list[Any] = [
        address,
        name,
        job.custom_field_name,
        [option_of(audience) for audience in audiences],
        [(value.field, value.data_type, value.texts) for value in values],
        job.consent_to_track,
        epoch,
    ]
    digest = hashlib.blake2b(orjson.dumps(content), digest_size=8).hexdigest()
    return JobPart(view, membership, audiences, address, refused, name, values, notes, digest)


def was_exported(view: JobView, held: Held | None) -> bool:
    """Whether a request for the job was made, or may have been, while it exported the person."""
    part = held.delivered.get(view.id) if held is not None else None
    return part is not None and part.exported


def is_concerned(row: MembershipRow, view: JobView) -> bool:
    """Whether a job exports the person, or did: then changes from before it began are worked, too."""
    membership, _ = membership_of(row, view)
    return membership is not Membership.UNCONCERNED or was_exported(view, row.lists.get(view.job.list_id))


def membership_of(row: MembershipRow, view: JobView, *, exported: bool = False) -> tuple[Membership, tuple[str, ...]]:
    """Return whether the job exports the person, and the ids of its audiences that they are in.

    Without existing users a person counts from the first change (event time) after the job began. `exported`: it did so
    before; whoever came as an existing user stays until they leave, also when the option is turned off.
    """
    inside: list[str] = []
    changed = False
    for audience, entry in row.audiences.items():
        if view.exports(audience):
            changed = changed or entry.since >= view.started
            if entry.inside:
                inside.append(audience)
    if inside and (changed or exported or view.job.existing_users):
        return Membership.PRESENT, tuple(sorted(inside))
    if changed and not inside:
        return Membership.ABSENT, ()
    return Membership.UNCONCERNED, ()


def address_of(row: MembershipRow, email: str, view: JobView) -> tuple[str | None, Refusal | None]:
    """Return the address in the job's e-mail field, or why there is none.

    The field `email` is the event's own address unless upstream sends a field of that name.
    """
    name = view.job.email_field
    value = row.fields.get(name, (None, 0))[0]
    if isinstance(value, list) and value:
        value = value[0]
    if value in (None, "", []):
        return (email, None) if name == "email" else (None, Refusal.NO_ADDRESS)
    address = normalise_email(value) if isinstance(value, str) else None
    return (address, None) if address else (None, Refusal.INVALID)


def desired_subscriber(
    row: MembershipRow,
    email: str,
    listed: ListView,
    held: Held | None,
    option_of: OptionOf,
    blocked: Container[str] = (),
) -> DesiredSubscriber | None:
    """Return what the list should hold for the person, or None when no running job concerns them.

    `blocked`: authorizations that do not work now; the call is made with another one where the person's jobs have one.

    Whether to resubscribe: only when every job that exports the person allows it, and only for an entry that was not
    used yet; a changed field never makes anyone active again.
    """
    parts = [part_of(row, email, view, option_of, listed.epoch, held) for view in listed.jobs]
    running = [part for part in parts if part.view.running and part.digest]
    if not running:
        return None
    present = [part for part in parts if part.membership is Membership.PRESENT]
    if any(part.view.running for part in present):
        digests = {part.view.id: part.digest for part in running}
        return _present(row, listed, present, held, digests, option_of, blocked)
    exporters = [part for part in running if was_exported(part.view, held)]
    return _absent(running, exporters, present, option_of, blocked)


def _present(
    row: MembershipRow,
    listed: ListView,
    parts: Sequence[JobPart],
    held: Held | None,
    digests: dict[str, str],
    option_of: OptionOf,
    blocked: Container[str],
) -> DesiredSubscriber:
    first = parts[0]
    authorization = calling([part.view for part in parts], blocked, known=held is not None and held.address is not None)
    jobs = [part.view.job for part in parts if part.view.running]
    entered = newest_entry(row, [audience for part in parts for audience in part.audiences], held, listed.list_id)
    values: dict[str, DesiredValue] = {}
    for part in parts:
        for value in part.values:
            values.setdefault(value.field, value)
    return DesiredSubscriber(
        address=first.address,
        refused=first.refused,
        present=True,
        on_exit=exit_policy(part.view for part in parts),
        name=next((part.name for part in parts if part.name is not None), None),
        audiences=tuple(sorted({audience for part in parts for audience in part.audiences})),
        options=_options(parts, option_of),
        values=tuple(values.values()),
        consent=first.view.job.consent_to_track,
        resubscribe=entered > 0 and all(job.resubscribe_users for job in jobs),
        entered=entered,
        left=row.own_acts.get(listed.list_id, NEVER),
        queue=any(job.queue_autoresponders for job in jobs),
        restart=any(job.restart_autoresponders for job in jobs),
        consent_rules=any(job.consent_rule is not None for job in jobs),
        consented=consented_at(row, jobs),
        may_add=any(not job.update_only for job in jobs if job.authorization_id == authorization),
        authorization=authorization,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        digests=digests,
    )


def _absent(
    running: Parts, exporters: Parts, present: Parts, option_of: OptionOf, blocked: Container[str]
) -> DesiredSubscriber:
    """No running job exports the person any more; the `exporters` did. What a stopped one exports stays on the list."""
    first = (exporters or running)[0]
    fields = [*running, *present]
    return DesiredSubscriber(
        address=first.address,
        refused=first.refused,
        present=False,
        on_exit="keep" if present else exit_policy(part.view for part in exporters),
        audiences=tuple(sorted({audience for part in present for audience in part.audiences})),
        options=_options(fields, option_of),
        authorization=calling([part.view for part in exporters or running], blocked, known=True),
        digests={part.view.id: part.digest for part in running},
    )


def _options(parts: Sequence[JobPart], option_of: OptionOf) -> tuple[tuple[str, tuple[str, ...]], ...]:
    by_field: dict[str, set[str]] = {}
    for part in parts:
        options = by_field.setdefault(part.view.job.custom_field_name, set())
        options.update(option_of(audience) for audience in part.audiences)
    return tuple((name, tuple(sorted(options))) for name, options in by_field.items())


def _values(row: MembershipRow, view: JobView) -> tuple[tuple[DesiredValue, ...], tuple[str, ...]]:
    values: list[DesiredValue] = []
    notes: list[str] = []
    for mapping in view.job.field_mappings:
        known = row.fields.get(mapping.user_field)
        if known is None:
            continue
        written, left_out = texts(known[0], mapping.data_type, view.units)
        notes += [f"{mapping.user_field} was left out: {reason}" for reason in left_out]
        if written is not None:
            values.append(DesiredValue(mapping.custom_field, mapping.data_type, written))
    return tuple(values), tuple(notes)


def _text(row: MembershipRow, name: str) -> str | None:
    value = row.fields.get(name, (None, 0))[0]
    if value is None:
        return "" if name in row.fields else None
    return value if isinstance(value, str) else orjson.dumps(value).decode()
