"""Forgetting a person: on lists at Campaign Monitor, then the profile, under this and every former address."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from connectors.control.audit import AuditLog
from connectors.control.jobs import Jobs
from connectors.kafka.settings import KafkaSettings
from schemas.cm_profile import ErasureReceipt
from schemas.identity import digest_of
from streams.control.people import delete_subscriber

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi

ERASE_SECONDS = 10.0
"""For a profile worker's receipt; without one the request is stored."""


class NotExportedError(LookupError):
    """No job exports to the list, so that it is not known whose account it belongs to; nothing was erased."""


class Erasure(NamedTuple):
    """What was erased."""

    deleted: list[str]
    """Lists from which the subscriber was deleted."""
    receipt: ErasureReceipt | None
    """None: no worker has answered yet."""
    late: str
    """Why there is no receipt, as a sentence without its full stop."""


async def erase_person(
    kafka: KafkaSettings,
    audit: AuditLog,
    jobs: Jobs,
    open_api: "OpenApi",
    address: str,
    lists: Iterable[str],
) -> Erasure:
    """Delete a subscriber from lists that jobs export to, then have the profile erased.

    Raises NotExportedError, CampaignMonitorError, LookupError, PublishError.
    """
    from streams.profile.erasure import NoReceiptError, erase  # and with it the profiles, which few commands need

    exports = {job.list_id: job.authorization_id for job in jobs.exports().values()}
    wanted = list(dict.fromkeys(lists))
    for list_id in wanted:
        if list_id not in exports:
            raise NotExportedError(f"No job exports to list {list_id}: nothing was erased.")
    await audit.note("person", digest_of(address), "erase")
    for list_id in wanted:
        await delete_subscriber(await open_api(exports[list_id]), list_id, address)
    try:
        return Erasure(wanted, await erase(kafka, address, ERASE_SECONDS), "")
    except NoReceiptError as late:
        return Erasure(wanted, None, str(late))
