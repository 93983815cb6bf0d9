"""What a job would do. Pure: rows and subscribers are given, as the table and the list have them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connectors.campaign_monitor.client.requests import address_key
from connectors.campaign_monitor.dates import ClientDates
from streams.export.recovery.reconcile import OnList, permitted_of
from streams.export.rules.codes import INACTIVE, UNCONFIRMED
from streams.export.rules.desired import DesiredSubscriber, desired_subscriber
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.routing import AttemptState, RequestKind, is_due, is_gone, route_of
from streams.export.rules.row import Held, MembershipRow
from streams.export.rules.values import field_name
from streams.export.sending.consent import compared, exact
from streams.export.sending.queue import IMPORT_LIMIT


@dataclass(slots=True)
class Preview:
    """Counts of people, by what would happen to them."""

    adds: int = 0
    updates: int = 0
    removals: int = 0
    blocked: int = 0
    """They left at Campaign Monitor, or are not known to it any more, and are not resubscribed; also where a receipt
    says so already."""
    would_resubscribe: int = 0
    """They left before they entered: at most so many, the client's suppression list is not read."""
    confirmed_opt_in: bool = False
    """Whether who is added has to confirm it first."""
    wait_for_confirmation: int = 0
    """Of those who are added, updated or resubscribed: they get no mail of the list before they confirm."""
    refused: int = 0
    """No usable address, or another person's; also where a receipt says so already."""
    not_subscribers: int = 0
    """Update only: not on the list, and not added."""
    unchanged: int = 0
    imported: int = 0
    single_calls: int = 0
    fields_missing: list[str] = field(default_factory=list)
    """Of who is written: a mapped field that nobody has a value for is not made."""
    options_missing: int = 0
    segments_missing: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """API calls that it takes, fields and segments included."""
        created = len(self.fields_missing) + len(self.segments_missing) + bool(self.options_missing)
        return -(-self.imported // IMPORT_LIMIT) + self.single_calls + created

    @property
    def billable(self) -> int:
        """Active contacts that the account has more of afterwards."""
        return self.adds + self.would_resubscribe

    @property
    def nothing_to_do(self) -> bool:
        """Whether not a single call would be made."""
        return self.calls == 0


def preview(
    rows: Iterable[tuple[str, MembershipRow]],
    listed: ListView,
    audience_names: AudienceNames,
    on_list: Mapping[str, OnList],
    dates: ClientDates,
    *,
    confirmed_opt_in: bool = False,
    fields: Collection[str] = (),
    absent: set[str] | None = None,
) -> Preview:
    """Return what would happen if the list's jobs ran now.

    `dates`: of the client; `fields`: of the list, by plain name; `absent`: gets the addresses of those who would be
    written and are not `on_list`.
    """
    found = Preview(confirmed_opt_in=confirmed_opt_in)
    written: dict[str, None] = {}
    owned: set[str] = set()
    asking: list[tuple[str, _Write]] = []
    for email, row in rows:
        held = row.lists.get(listed.list_id)
        wanted = desired_subscriber(row, email, listed, held, audience_names.option_of)
        if wanted is None:
            continue
        permitted = permitted_of(row, email, listed.list_id, wanted)
        desired = permitted or wanted
        if permitted is not None and desired.address is not None and desired.present:
            owned.add(address_key(desired.address))
        if not is_due(held, desired):
            _count_settled(found, desired, held)
            continue
        write = _write_of(desired, held, on_list, dates)
        if absent is not None and write.there is None and write.address and write.kind not in _NO_CALLS:
            absent.add(write.address)
        if permitted is None and desired.address is not None:
            asking.append((address_key(desired.address), write))
        else:
            _count(found, write, written)
    for address, write in asking:  # the first of them has it, unless it is somebody's own
        _count(found, write._replace(kind=RequestKind.REFUSE) if address in owned else write, written)
        owned.add(address)
    found.fields_missing = [name for name in written if field_name(name) not in fields]
    return found


def _count_settled(found: Preview, desired: DesiredSubscriber, held: Held | None) -> None:
    """Count a person without anything due: they are as they should be, or a receipt says why not."""
    code = held.code if held is not None else 0
    if not desired.present or code == UNCONFIRMED:
        found.unchanged += 1
    elif code in INACTIVE:
        found.blocked += 1
    elif code or desired.refused is not None:
        found.refused += 1
    else:
        found.unchanged += 1


_NO_CALLS = frozenset({RequestKind.NO_CALL, RequestKind.REFUSE})
"""Nobody is asked about them."""


class _Write(NamedTuple):
    """What is about to happen to one person."""

    kind: RequestKind
    desired: DesiredSubscriber
    address: str
    """Under which the list was searched; empty where there is none."""
    there: OnList | None
    returns: bool
    """They left, and are made active again."""
    gone: bool
    """They were on the list, which does not know them any more, and are not added."""


def _write_of(
    desired: DesiredSubscriber, held: Held | None, on_list: Mapping[str, OnList], dates: ClientDates
) -> _Write:
    address = (held.address if held is not None else None) or desired.address or ""
    there = on_list.get(address_key(address))
    returns = there is not None and _returns(desired, held, there, dates)
    gone = there is None and is_gone(held, desired)
    return _Write(route_of(held, desired, AttemptState()).kind, desired, address, there, returns, gone)


def _returns(desired: DesiredSubscriber, held: Held | None, there: OnList, dates: ClientDates) -> bool:
    """Whether somebody who left is made active again: by the rule of `sending/consent.py`."""
    try:
        left = int(dates.utc(there.date).timestamp() * 1000)
    except ValueError:
        return False
    return compared(exact(left, desired.left), desired, held) is None


_CALLS = {
    RequestKind.IMPORT: 0,
    RequestKind.REMOVE: 3,
    RequestKind.UPDATE: 2,
    RequestKind.CHECK_CONSENT: 2,
}
"""Calls for one person; an import's are counted by the thousand."""


def _count(found: Preview, write: _Write, written: dict[str, None]) -> None:
    """Count one person; `written`: the names of the fields that the calls write, in order."""
    kind, desired, _address, there, returns, gone = write
    if kind is RequestKind.NO_CALL:
        found.unchanged += 1
        return
    if kind is RequestKind.REFUSE:
        found.refused += 1
        return
    written.update(dict.fromkeys([name for name, _ in desired.options] + [value.field for value in desired.values]))
    found.imported += kind is RequestKind.IMPORT
    found.single_calls += _CALLS.get(kind, 1)
    if not desired.present:
        found.removals += 1
    elif there is None and gone:
        found.blocked += 1
    elif there is None:
        if desired.may_add:
            found.adds += 1
            found.wait_for_confirmation += found.confirmed_opt_in
        else:
            found.not_subscribers += 1
    elif there.state in ("active", "unconfirmed"):
        found.updates += 1
        found.wait_for_confirmation += there.state == "unconfirmed"
    elif returns:
        found.would_resubscribe += 1
        found.wait_for_confirmation += found.confirmed_opt_in
        found.single_calls += 2 if kind is RequestKind.IMPORT else 0  # refused by the import, then read
    else:
        found.blocked += 1
