"""The table and the list, read as a whole from outside of the worker: what plan and reconciliation look at."""

from collections.abc import AsyncIterator, Iterator, Mapping

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.caller import pages
from connectors.campaign_monitor.client.requests import STATES, Paging
from connectors.kafka.read_to_end import ReadError, newest_by_partition
from connectors.kafka.settings import KafkaSettings
from schemas.identity import normalise_email
from streams.batches.table.rows import decode_blob
from streams.export.recovery.reconcile import OnList
from streams.export.rules.row import MembershipRow, decode
from streams.export.rules.values import field_name
from streams.export.table import CHECKPOINT_KEY

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


def rows(kafka: KafkaSettings) -> Iterator[tuple[str, MembershipRow]]:
    """Yield every person's row, as the changelog has it."""
    for part in newest(kafka, kafka.names()["cm_memberships-changelog"]):
        for key, blob in part.items():
            value, _hidden = decode_blob(blob)
            if key != CHECKPOINT_KEY and value is not None:
                yield key.decode(), decode(value)


async def subscribers(api: CampaignMonitor, list_id: str) -> dict[str, OnList]:
    """Return every subscriber of a list by normalised address, in all five states; the latest state wins."""
    found: dict[str, tuple[str, OnList]] = {}
    for state in STATES:
        async for row in _state(api, list_id, state):
            address = normalise_email(str(row.get("EmailAddress", "")))
            date = str(row.get("Date", ""))
            if address is not None and (address not in found or found[address][0] <= date):
                found[address] = date, OnList(state, _fields(row))
    return {address: it for address, (_, it) in found.items()}


async def _state(api: CampaignMonitor, list_id: str, state: str) -> AsyncIterator[Mapping[str, object]]:
    async for page in pages(lambda paging: api.lists.subscribers(list_id, state, paging), Paging()):  # type: ignore[arg-type]  # one of STATES
        for row in page.rows:
            yield row


def _fields(row: Mapping[str, object]) -> dict[str, frozenset[str]]:
    fields: dict[str, set[str]] = {}
    entries = row.get("CustomFields")
    for entry in entries if isinstance(entries, list) else ():
        fields.setdefault(field_name(str(entry.get("Key", ""))), set()).add(str(entry.get("Value", "")))
    return {name: frozenset(texts) for name, texts in fields.items()}
