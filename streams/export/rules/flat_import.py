"""A person of the common kind, from events and the stored row to the request, the final row and the receipts. Pure.

What `fold`, `desired_subscriber`, `pending_answers` and `record_delivered` do for everybody, in one pass over the
stored JSON, for people with no odd history: one list with one running job, changes later than everything
known, no snapshot, no other address, nobody who left the list. For everybody else the answer is None, and those
functions do it. That both ways give the same bytes is a property test.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from schemas.audience_delivery import Outcome
from schemas.control import DataType
from schemas.envelope import EpochMillis
from streams.export.rules.dropped import ANY, ValueKind
from streams.export.rules.jobs import AudienceNames, Exports, JobView, ListView
from streams.export.rules.membership import MembershipEvent
from streams.export.rules.row import ENTER
from streams.export.rules.settlement import NOT_KNOWN_AS_NEW
from streams.export.rules.values import VALUE_LIMIT, field_name, texts

FieldKeys = Mapping[str, str]
"""Custom field's plain name (see `field_name`) -> its bracketed key."""
PLAIN_ROW = {"a", "f", "l", "p"}
PLAIN_HELD = 10
# Types whose texts need no options of the field.
_TYPES: frozenset[DataType] = frozenset({"Text", "Number", "Date"})
MANY = 250
# So many characters are no more than 250 bytes, whatever they are.
SHORT = 62


class FlatImport(NamedTuple):
    """One person in an import, and what follows from its acceptance."""

    key: bytes
    entry: bytes
    """The person in the request, as JSON."""
    value: bytes
    """The row after the call, as it is stored."""
    known: bool
    """They were known to be on the list."""
    had: bool
    """The list held audiences of theirs."""
    answers: Sequence[tuple[int, EpochMillis, bool]]
    """(position, append time, whether it enters) of their changes."""
    options: Sequence[str]
    """The texts of their audiences' options."""


@dataclass(frozen=True, slots=True)
class FlatPlan:
    """One list with one running job, and the keys of its fields."""

    listed: ListView
    view: JobView
    keys: FieldKeys
    names: AudienceNames
    is_alone: Callable[[str], bool]
    """Whether an audience is exported by this job and no other."""
    max_row_bytes: int
    mapped: Sequence[tuple[str, str, DataType, bytes, bool]]
    """(upstream's field, custom field, its type, its key as JSON, whether the list is known to keep its values)."""
    kept: frozenset[ValueKind]
    """What the list is known to keep: what is new is read back once, by the careful way."""
    audiences_key: bytes
    audiences_field: str
    options: dict[str, tuple[str | None, bytes]] = field(default_factory=dict)
    """By audience, as far as they were used."""

    def person(
        self, key: bytes, events: Sequence[MembershipEvent], value: bytes | None, source: int
    ) -> FlatImport | None:
        """Return a person's import; None: they need the careful way. `value`: the stored row. No events: a backfill."""
        job = self.view.job
        letters: dict[str, Any] = {} if value is None else orjson.loads(value)
        if value is not None and not (letters.keys() <= PLAIN_ROW and letters.get("p") == source):
            return None
        email = events[0].email if events else key.decode()
        held = self._held(letters.get("l"), email)
        if held is None or not key.isascii():
            return None
        part = held[0].get(job.id)
        answered = -1 if part is None else part[1]
        audiences, fields = letters.get("a", {}), letters.get("f", {})
        answers: list[tuple[int, EpochMillis, bool]] = []
        for event in events:
            if not self._fold(audiences, fields, event, answered):
                return None
            answers.append((event.position, event.appended, event.changes[0].rank == ENTER))
        if "email" in fields or len(audiences) > MANY or len(fields) > MANY:
            return None
        first, inside, newest, seen = events[0].position if events else -1, [], 0, -1
        counts = job.existing_users or (part is not None and bool(part[2]))
        for audience, entry in audiences.items():
            position = entry[2]
            if not self.is_alone(audience) or answered < position < first:
                return None
            seen = max(seen, position)
            counts = counts or entry[4] >= self.view.started
            if not entry[0] & 1:
                inside.append(audience)
                newest = max(newest, min(entry[5] if len(entry) > 5 else entry[4], entry[3]))
        options = [self.option(audience) for audience in sorted(inside)]
        if not options or not counts:
            return None
        entered = max(held[4], newest)
        name = _text(fields, job.name_field)
        written = self._values(fields)
        if written is None:
            return None
        values, body = written
        inside.sort()
        texts_of = [text for text, _ in options if text is not None]
        if len(texts_of) < len(options):
            return None
        digest = _digest(
            [email, name, job.custom_field_name, texts_of, values, job.consent_to_track, self.listed.epoch]
        )
        if part is not None and part[0] == digest:
            return None  # nothing differs
        options.sort()
        if not events:
            answers = waiting_answers(audiences, answered)
        held_digest = _digest(
            [
                email,
                name,
                [[job.custom_field_name, [text for text, _ in options]]],
                [[custom, text] for custom, _, text in values],
            ]
        )
        after = [
            {job.id: [digest, max(answered, seen), 1]}, email, inside, 0, entered, 0, held[6],
            max(held[7], seen), held_digest, held[9],
        ]  # fmt: skip
        row: dict[str, Any] = {"a": audiences, "f": fields, "l": {self.listed.list_id: after}, "p": source}
        if not fields:
            del row["f"]
        stored = bytes(memoryview(orjson.dumps(row)))
        if len(stored) > self.max_row_bytes // 2:
            return None
        written_fields = b",".join([*[encoded for _, encoded in options], *body])
        entry_bytes = _entry(email, name, job.consent_to_track, written_fields)
        return FlatImport(key, entry_bytes, stored, held[1] is not None, bool(held[2]), answers, texts_of)

    def option(self, audience: str) -> tuple[str | None, bytes]:
        """Return an audience's option and its entry in a request; None: the list is not known to keep it."""
        known = self.options.get(audience)
        if known is None:
            text = self.names.option_of(audience)
            encoded = b'{"Key":%b,"Value":%b}' % (self.audiences_key, orjson.dumps(text))
            is_kept = (self.audiences_field, text) in self.kept
            known = self.options[audience] = (text if is_kept else None, encoded)
        return known

    def _held(self, lists: dict[str, Any] | None, email: str) -> list[Any] | None:
        """Return what the list is known to hold; None: something that asks for care."""
        if not lists:
            return [{}, None, [], 0, 0, 0, 0, -1, "", ""]
        held: list[Any] | None = lists.get(self.listed.list_id)
        if held is None or len(lists) > 1 or len(held) != PLAIN_HELD or held[3] or held[5]:
            return None
        if held[1] is not None and held[1] != email:
            return None
        parts = held[0]
        job = self.view.id
        return held if not parts or (len(parts) == 1 and job in parts and len(parts[job]) == 3) else None

    def _fold(self, audiences: dict[str, Any], fields: dict[str, Any], event: MembershipEvent, answered: int) -> bool:
        """Fold an event into the stored parts, in place; False: not in the common way."""
        if len(event.changes) != 1 or event.snapshot is not None or event.previous is not None:
            return False
        audience, rank, at = event.changes[0]
        if at < self.view.started or event.leaves_to is not None:
            return False
        known = audiences.get(audience)
        if known is None:
            if rank != ENTER:
                return False
            audiences[audience] = [ENTER, at, event.position, event.appended, at]
        else:
            if at <= known[1] or known[2] > answered:
                return False
            entry = [rank, at, event.position, event.appended, at]
            audiences[audience] = entry if rank == ENTER else [*entry, known[1]]
        for name, value in event.fields.items():
            old = fields.get(name)
            if old is None or old[1] < at:
                fields[name] = [value, at]
            elif old[1] == at:
                return False
        return True

    def _values(self, fields: dict[str, Any]) -> tuple[list[list[Any]], list[bytes]] | None:
        """Return the values as they are hashed, and as JSON entries; None: one would be left out."""
        values: list[list[Any]] = []
        body: list[bytes] = []
        for user_field, custom, data_type, key, is_kept in self.mapped:
            known = fields.get(user_field)
            if known is None:
                continue
            value = known[0]
            if not is_kept and value is not None:
                return None
            if data_type == "Text" and type(value) is str and 0 < len(value) <= SHORT:
                values.append([custom, data_type, [value]])
                body.append(b'{"Key":%b,"Value":%b}' % (key, orjson.dumps(value)))
                continue
            written, left_out = texts(value, data_type, self.view.units)
            if left_out or written is None or any(len(text.encode()) > VALUE_LIMIT for text in written):
                return None
            values.append([custom, data_type, list(written)])
            body += [b'{"Key":%b,"Value":%b}' % (key, orjson.dumps(text)) for text in written]
            if not written:
                body.append(b'{"Key":%b,"Value":"","Clear":true}' % key)
        return values, body


def waiting_answers(audiences: dict[str, Any], answered: int) -> list[tuple[int, EpochMillis, bool]]:
    """Return the answers that audiences wait for, by position; several of one record are one."""
    found: dict[int, tuple[int, EpochMillis, bool]] = {}
    for rank, _, position, appended, *_ in audiences.values():
        if position > answered:
            enters = not rank & 1 or (position in found and found[position][2])
            found[position] = (position, appended, enters)
    return [found[position] for position in sorted(found)]


def compile_plan(
    listed: ListView,
    exports: Exports,
    names: AudienceNames,
    keys: FieldKeys,
    kept: frozenset[ValueKind],
    max_row_bytes: int,
) -> FlatPlan | None:
    """Return the plan of a list; None: nobody of it is of the common kind. `keys`: of its fields, by plain name."""
    if len(listed.jobs) != 1 or not listed.running:
        return None
    view = listed.jobs[0]
    job = view.job
    fields = [job.custom_field_name, *(mapping.custom_field for mapping in job.field_mappings)]
    plain = [field_name(name) for name in fields]
    if len(set(plain)) < len(plain) or not keys.keys() >= set(plain) or job.update_only or job.email_field != "email":
        return None
    if any(mapping.data_type not in _TYPES for mapping in job.field_mappings):
        return None
    alone: dict[str, bool] = {}

    def is_alone(audience: str) -> bool:
        known = alone.get(audience)
        if known is None:
            known = alone[audience] = exports.of(audience) == (view,)
        return known

    mapped = [
        (mapping.user_field, mapping.custom_field, mapping.data_type, orjson.dumps(keys[name]), (name, ANY) in kept)
        for mapping, name in zip(job.field_mappings, plain[1:], strict=True)
    ]
    audiences_key = orjson.dumps(keys[plain[0]])
    return FlatPlan(listed, view, keys, names, is_alone, max_row_bytes, mapped, kept, audiences_key, plain[0])


def import_request(entries: Iterable[bytes], *, queue: bool) -> bytes:
    """Return the body of an import, as `import_body` gives it."""
    flags = b'"Resubscribe":false,"QueueSubscriptionBasedAutoresponders":%b' % (b"true" if queue else b"false")
    return b'{"Subscribers":[%b],%b,"RestartSubscriptionBasedAutoresponders":false}' % (b",".join(entries), flags)


def outcome_of_change(person: FlatImport, *, enters: bool, added: bool | None) -> tuple[Outcome, str | None]:
    """Return a change's outcome and the sentence of its receipt. `added`: see `plan.was_added`."""
    if not enters:
        return (Outcome.REMOVED if person.had else Outcome.UNCHANGED), None
    message = NOT_KNOWN_AS_NEW if added is None and not person.known else None
    return (Outcome.ADDED if added else Outcome.UPDATED), message


def _entry(email: str, name: str | None, consent: str, fields: bytes) -> bytes:
    named = b"" if name is None else b',"Name":%b' % orjson.dumps(name)
    head = b'{"EmailAddress":%b,"ConsentToTrack":"%b"' % (orjson.dumps(email), consent.encode())
    return b'%b%b,"CustomFields":[%b]}' % (head, named, fields)


def _text(fields: dict[str, Any], name: str) -> str | None:
    known = fields.get(name)
    if known is None:
        return None
    value = known[0]
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _digest(content: Any) -> str:
    return hashlib.blake2b(orjson.dumps(content), digest_size=8).hexdigest()
