"""Who of a client's suppression list is associated with the lists that a job names.

The suppression list is the client's and names no list. Campaign Monitor answers for one address on which lists it is,
in any state, so a job that names lists takes a call for each address, once.
"""

import asyncio
from collections.abc import Iterable, Mapping

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import NotFound, RowRefused
from connectors.importer.readers.reader import PageRead
from connectors.importer.translated import EarlierReads, TranslatedRow
from schemas.import_task import Source


def names_lists(source: Source) -> bool:
    """Return whether it matters on which lists people are: for the suppression list, if the job names some, or did."""
    named = (source.lists, *(known.lists for known in source.published))
    return source.resource == "suppression" and any(named)


def addresses(read: PageRead) -> set[str]:
    """Return the addresses that a page adds or removes."""
    keys = (row.record.key.decode() for row in read.new_rows if row.record is not None)
    return {*keys, *read.removed} - {""}


async def look_up(api: CampaignMonitor, client_id: str, wanted: Iterable[str], found: dict[str, set[str]]) -> None:
    """Add to `found` on which lists each address is, if it does not hold it. Raises CampaignMonitorError.

    What is no address is on no list.
    """

    async def lists_of(address: str) -> None:
        try:
            rows = await api.clients.lists_for_email(client_id, address)
        except CampaignMonitorError as error:
            if not isinstance(error.verdict, NotFound | RowRefused):
                raise
            rows = []
        found[address] = {str(row.get("ListID") or "") for row in rows}

    await asyncio.gather(*(lists_of(address) for address in wanted if address not in found))


def of_lists(read: PageRead, source: Source, lists: Mapping[str, set[str]]) -> PageRead:
    """Return what to publish for a job that names lists, or did so before: who is associated with these, once.

    Others are left out. `lists`: address -> its lists.
    """
    published = EarlierReads(source)
    kept: list[TranslatedRow] = []
    for row in read.new_rows:
        on = lists.get(row.record.key.decode(), set()) if row.record is not None else set()
        if source.lists and on.isdisjoint(source.lists):
            read.left_out += 1
        elif published.has_published(row.event_id[: events.SHORT_BYTES], row.date, on):
            read.repeats += 1
        else:
            kept.append(row)
    # Who was published by a wider read is named as well: nothing else ends what it has reported.
    scopes = [source.lists, *(known.lists for known in (*source.published, *source.earlier))]
    read.new_rows = kept
    read.removed = [address for address in read.removed if _is_in(lists.get(address, set()), scopes)]
    return read


def _is_in(on: set[str], scopes: Iterable[list[str]]) -> bool:
    return any(not scope or not on.isdisjoint(scope) for scope in scopes)
