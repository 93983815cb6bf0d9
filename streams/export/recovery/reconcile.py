"""Where a list has drifted from what was delivered. Pure: rows and subscribers are given.

It reads the table and the list as a whole, from outside of the worker.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.caller import pages, side_by_side
from connectors.campaign_monitor.client.requests import STATES, ListState, Paging, address_key
from connectors.kafka.read_to_end import ReadError, newest_by_partition
from connectors.kafka.settings import KafkaSettings
from schemas.envelope import EpochMillis
from schemas.identity import normalise_email
from schemas.membership_command import Resend
from streams.batches import decode_blob
from streams.export.rules.claims import allowed, has_claims
from streams.export.rules.desired import DesiredSubscriber, desired_subscriber
from streams.export.rules.dropped import Dropped, differs
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.routing import is_due
from streams.export.rules.row import MembershipRow, decode
from streams.export.rules.values import field_name
from streams.export.table import CHECKPOINT_KEY

SHOWN = 20
"""Addresses that a report shows of each kind."""


@dataclass(frozen=True, slots=True)
class OnList:
    """A subscriber as the list has it: state in lower case, and texts by plain field name."""

    state: str
    fields: Mapping[str, frozenset[str]]
    date: str = ""
    """Since when they are in that state, in the client's zone."""


def permitted_of(row: MembershipRow, email: str, list_id: str, desired: DesiredSubscriber) -> DesiredSubscriber | None:
    """Return what the worker may write of what is desired; None: an address is not decided yet."""
    if not has_claims(row, email, list_id, desired):
        return desired
    return allowed(row, email, list_id, desired)


@dataclass(slots=True)
class DriftReport:
    """Where a list differs from what was delivered, by address."""

    compared: int = 0
    waiting: int = 0
    """Due anyway: not drift."""
    confirmed_opt_in: bool = False
    """Whether who is added has to confirm it first."""
    wait_for_confirmation: int = 0
    """They have not confirmed yet: not drift."""
    missing: list[str] = field(default_factory=list)
    """Delivered, and not on the list any more."""
    different: list[str] = field(default_factory=list)
    """On the list, with other audiences or values."""
    strangers: list[str] = field(default_factory=list)
    """On the list with audiences that we did not write."""
    repairable: list[str] = field(default_factory=list)
    """Keys of the rows that a repair would send again."""
    gone: list[str] = field(default_factory=list)
    """Keys of the rows of who is missing: a repair has the worker note it, and adds nobody."""

    @property
    def drifted(self) -> int:
        """How many people differ."""
        return len(self.missing) + len(self.different) + len(self.strangers)


def compare(
    rows: Iterable[tuple[str, MembershipRow]],
    listed: ListView,
    audience_names: AudienceNames,
    on_list: Mapping[str, OnList],
    dropped: Dropped = frozenset(),
) -> DriftReport:
    """Compare the list with what was delivered. `on_list`: by `address_key`; `dropped`: what the list does not keep."""
    report = DriftReport()
    ours: set[str] = set()
    for email, row in rows:
        held = row.lists.get(listed.list_id)
        wanted = desired_subscriber(row, email, listed, held, audience_names.option_of)
        desired = permitted_of(row, email, listed.list_id, wanted) if wanted is not None else None
        address = held.address if held is not None and held.address else desired.address if desired else None
        if address is not None and (desired is None or desired.present or held is not None):
            ours.add(address_key(address))
        report.waiting += wanted is not None and desired is None
        if desired is None or held is None or address is None or desired.refused is not None:
            continue
        if is_due(held, desired):
            report.waiting += 1
            continue
        report.compared += 1
        there = on_list.get(address_key(address))
        if there is not None and there.state == "unconfirmed" and desired.present:
            report.wait_for_confirmation += 1
        if there is None:
            if desired.present and not held.code:
                report.missing.append(address)
                report.gone.append(email)
        elif there.state == "active" and (
            differs(desired, there.fields, dropped) or (desired.present and held.code > 0)
        ):
            report.different.append(address)
            report.repairable.append(email)
    names = {field_name(view.job.custom_field_name) for view in listed.jobs}
    for address, there in on_list.items():
        if address not in ours and there.state == "active" and any(there.fields.get(name) for name in names):
            report.strangers.append(address)
    return report


def with_found(
    report: DriftReport,
    rows: Iterable[tuple[str, MembershipRow]],
    listed: ListView,
    audience_names: AudienceNames,
    found: Mapping[str, OnList],
    dropped: Dropped = frozenset(),
) -> DriftReport:
    """Return a report in which those who were missing and are `found` count as what the list has.

    `rows`: of `report.gone`, as they are now. Who has another address by now was not read, and is left out.
    """
    again, read = compare(rows, listed, audience_names, found, dropped), set(report.missing)
    absent = [(address, key) for address, key in zip(again.missing, again.gone, strict=True) if address in read]
    return replace(
        report,
        compared=report.compared - len(report.missing) + again.compared,
        waiting=report.waiting + again.waiting,
        wait_for_confirmation=report.wait_for_confirmation + again.wait_for_confirmation,
        missing=[address for address, _key in absent],
        gone=[key for _address, key in absent],
        different=[*report.different, *again.different],
        repairable=[*report.repairable, *again.repairable],
    )


def removals_due(rows: Iterable[tuple[str, MembershipRow]], listed: ListView, audience_names: AudienceNames) -> int:
    """Return how many people wait to be taken off the list, or to lose their last audience on it."""
    count = 0
    for email, row in rows:
        held = row.lists.get(listed.list_id)
        wanted = desired_subscriber(row, email, listed, held, audience_names.option_of)
        desired = permitted_of(row, email, listed.list_id, wanted) if wanted is not None else None
        count += held is not None and desired is not None and not desired.present and is_due(held, desired)
    return count


def repairs(report: DriftReport, list_id: str, read_at: EpochMillis) -> Iterator[tuple[str, Resend]]:
    """Yield what a repair publishes, by key. `read_at`: when the list was read."""
    yield from ((email, Resend(list_id)) for email in report.repairable)
    yield from ((email, Resend(list_id, read_at)) for email in report.gone)


SILENCE_SECONDS = 20.0


class SnapshotError(RuntimeError):
    """What is needed to look cannot be read; the text names it and the reason."""


def newest(kafka: KafkaSettings, topic: str) -> Iterator[dict[bytes, bytes]]:
    """Yield the newest value of each key, a partition at a time: memory holds one partition. Raises SnapshotError."""
    try:
        for part in newest_by_partition(kafka, "snapshot", topic, silence_seconds=SILENCE_SECONDS):
            yield {key: record.value for key, record in part.items() if record.value is not None}
    except ReadError as failure:
        raise SnapshotError(str(failure)) from None


Progress = Callable[[int], None]
"""Called with the number of people that have been read."""


def _unseen(_count: int) -> None:
    """Show nothing."""


def snapshot_rows(kafka: KafkaSettings, progress: Progress = _unseen) -> Iterator[tuple[str, MembershipRow]]:
    """Yield every person's row, as the changelog has it."""
    count = 0
    for part in newest(kafka, kafka.names()["cm_memberships-changelog"]):
        progress(count := count + len(part))
        for key, blob in part.items():
            value, _hidden = decode_blob(blob)
            if key != CHECKPOINT_KEY and value is not None:
                yield key.decode(), decode(value)


PAGES_AHEAD = 4
"""Of each state: as many calls as are in flight at once by default. More would only be kept waiting."""


async def subscribers(api: CampaignMonitor, list_id: str, progress: Progress = _unseen) -> dict[str, OnList]:
    """Return every subscriber of a list, in all five states, by `address_key`; the latest state wins.

    The states, and pages of each, are read side by side, as far as the account's limit allows.
    """
    found: dict[str, tuple[tuple[str, int], OnList]] = {}

    async def read(state: ListState) -> None:
        rank = STATES.index(state)
        fetch = functools.partial(api.lists.subscribers, list_id, state)
        async for page in pages(fetch, Paging(), ahead=PAGES_AHEAD):
            for row in page.rows:
                email = normalise_email(str(row.get("EmailAddress", "")))
                date, address = str(row.get("Date", "")), address_key(email or "")
                if address and (address not in found or found[address][0] <= (date, rank)):
                    found[address] = (date, rank), OnList(state, _fields(row), date)
            progress(len(found))

    await side_by_side(*(read(state) for state in STATES))
    return {address: it for address, (_, it) in found.items()}


async def read_alone(
    api: CampaignMonitor, list_id: str, addresses: Iterable[str], progress: Progress = _unseen
) -> dict[str, OnList]:
    """Return those of the addresses that the list knows, by `address_key`: each is read by a call of its own.

    Who changes state while the states are read side by side may be in none of them.
    """
    found: dict[str, OnList] = {}
    waiting, count = iter(addresses), 0

    async def read() -> None:
        nonlocal count
        for address in waiting:
            there = await api.subscribers.find(list_id, address)
            if there is not None:
                found[address_key(address)] = OnList(there.state.lower(), _fields(there.raw), there.date)
            progress(count := count + 1)

    await side_by_side(*(read() for _ in range(PAGES_AHEAD)))
    return found


def _fields(row: Mapping[str, object]) -> dict[str, frozenset[str]]:
    fields: dict[str, set[str]] = {}
    entries = row.get("CustomFields")
    for entry in entries if isinstance(entries, list) else ():
        fields.setdefault(field_name(str(entry.get("Key", ""))), set()).add(str(entry.get("Value", "")))
    return {name: frozenset(texts) for name, texts in fields.items()}
