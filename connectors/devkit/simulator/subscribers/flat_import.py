"""The usual rows of an import, flat: a load generator that works longer than its API takes would measure itself.

Usual is a row with the four keys that clients send, about somebody who is new to the list or Active on it. Everything
else goes the way of a single write. Both ways lead to the same state and the same answer.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from connectors.devkit.simulator.data.entities import SubscriberList
from connectors.devkit.simulator.data.fields import FieldEntries, FieldValues, read_entries
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.submission import (
    UNCHANGED,
    Submission,
    as_named,
    email_of,
    is_email,
    read_submission,
)
from connectors.devkit.simulator.subscribers.subscriptions import (
    WriteOptions,
    inherit_consent,
    put_on_list,
    values_after,
)

_KEYS = 4
_ACTIVE = SimulatedState.ACTIVE
_tuple = tuple.__new__


class RefusedRow(NamedTuple):
    """A row of an import that is refused whatever the list holds, with its trimmed address."""

    email: str
    error: SimulatedApiError


ImportRows = Mapping[str, Submission | RefusedRow]
"""Folded address -> what its row asks for."""


def read_rows(rows: list[dict[str, Any]], *, last_wins: bool) -> tuple[ImportRows, list[str]]:
    """Return what the rows of an import ask for, and the addresses that came more than once. Raises ApiError 400."""
    usual = usual_rows(rows)
    return (usual, []) if usual is not None else checked_rows(rows, last_wins=last_wins)


def checked_rows(rows: list[dict[str, Any]], *, last_wins: bool) -> tuple[ImportRows, list[str]]:
    """Return the same as `read_rows`, every row looked at on its own."""
    unique: dict[str, Mapping[str, Any]] = {}
    duplicates: dict[str, None] = {}
    for raw in rows:
        row = as_named(raw)
        email = email_of(row, "subscribers")
        folded = fold(email)
        if folded in unique:
            duplicates[email] = None
            if not last_wins:
                continue
        unique[folded] = row
    read: dict[str, Submission | RefusedRow] = {}
    for folded, row in unique.items():
        try:
            read[folded] = read_submission(row, argument="subscribers")
        except SimulatedApiError as error:
            if error.code == 400:
                raise
            read[folded] = RefusedRow(email_of(row), error)
    return read, list(duplicates)


def usual_rows(rows: list[dict[str, Any]]) -> ImportRows | None:
    """Return the submissions by folded address; None when a row is unusual or an address comes twice."""
    read: dict[bytes, FieldEntries] = {}
    usual: dict[str, Submission | RefusedRow] = {}
    dumps = orjson.dumps
    try:
        for row in rows:
            email, name, fields = row["EmailAddress"], row["Name"], row["CustomFields"]
            if len(row) != _KEYS or row["ConsentToTrack"] != "Unchanged" or type(name) is not str:
                return None
            sent = dumps(fields)
            entries = read.get(sent)
            if entries is None:
                entries = read[sent] = read_entries(fields)
            if not is_email(email):
                return None
            usual[email.lower()] = _tuple(Submission, (email, name, entries, None, UNCHANGED, UNCHANGED))
    except (KeyError, TypeError, ValueError):
        return None
    return usual if len(usual) == len(rows) else None


class ImportWriter:
    """Does what `put_on_list` does, for the rows of one import: what is the same for all of them is looked up once.

    Rows that follow each other and are all new, or all known, gather until another kind comes or `flush` is called.
    """

    def __init__(self, state: SimulatorState, target: SubscriberList, manner: WriteOptions) -> None:
        self._state, self._target, self._manner = state, target, manner
        self._careful = bool(target.webhooks) or target.confirmed_opt_in or manner.resubscribe
        self._suppressed: Mapping[str, object] = target.client.suppressed if target.honours_suppression else {}
        self._moment = state.clock.time()
        self._new: list[tuple[str, str, str, FieldValues]] = []
        self._edited: list[tuple[str, FieldValues]] = []
        # By identity of the entries, which the submissions keep alive: equal ones are one object there.
        self._known: dict[tuple[int, FieldValues], FieldValues] = {}

    def put(self, folded: str, submission: Submission) -> bool:
        """Add or edit one subscriber; return whether the address was new to the list. Raises ApiError."""
        email, name, entries, mobile, consent, sms = submission
        subscribers = self._target.subscribers
        row = subscribers.find(folded)
        if (
            self._careful
            or (row is not None and subscribers.states[row] != _ACTIVE)
            or folded in self._suppressed
            or consent
            or sms
            or mobile is not None
        ):
            self.flush()
            return put_on_list(self._state, self._target, submission, self._manner)
        old = () if row is None else subscribers.values(row)
        values = self._known.get((id(entries), old))
        if values is None:
            values = values_after(self._state, self._target, email, old, entries)
            if (old, entries) in self._target.written:  # else something was dropped, which each row has recorded
                self._known[id(entries), old] = values
        if row is None:
            if self._edited:
                self.flush()
            self._new.append((email, folded, name or "", values))
            return True
        if self._new:
            self.flush()
        if values is not old and values != old:
            subscribers.set_values(row, values)
        if name is not None and name != subscribers.name(row):
            subscribers.set_name(row, name)
        self._edited.append((subscribers.email(row), values))
        return False

    def flush(self) -> None:
        """Store the new subscribers that have gathered, and record them or those that were edited."""
        target, manner, log = self._target, self._manner, self._state.request_log
        if self._new:
            first = target.subscribers.add_many(self._new, _ACTIVE, int(self._moment))
            if len(target.client.lists) > 1:
                for row, (_, folded, _, _) in enumerate(self._new, first):
                    inherit_consent(target, row, folded)
            if manner.queue:
                for _, folded, _, _ in self._new:
                    log.count_automation(target.list_id, folded, restarted=False)
        before, people = (None, [(new[0], new[3]) for new in self._new]) if self._new else (_ACTIVE, self._edited)
        log.record_writes(self._moment, manner.who, manner.act, target.list_id, people, before=before, after=_ACTIVE)
        self._new, self._edited = [], []
