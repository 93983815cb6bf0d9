"""The lists that running jobs export to: a sender each, opened when a job needs it, and its segments."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from streams.delivery.accounts import Access, Accounts, NoCredentialError
from streams.delivery.courier import Courier
from streams.delivery.fields import ListFields
from streams.delivery.guard import Guard
from streams.delivery.segments import ListSegments, planned
from streams.delivery.sender import ListSender
from streams.delivery.settings import ExportSettings
from streams.delivery.shared import Shared
from streams.delivery.shop import Shop
from streams.domain.exports import ListView
from streams.domain.rows import Millis

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class OpenList:
    """A list that is being sent to."""

    sender: ListSender
    segments: ListSegments
    task: asyncio.Task[None]
    account: tuple[str, str]
    """Authorization and client that it was opened with."""
    making: asyncio.Task[None] | None = None


class Lists:
    """Opens and closes senders as jobs come, change and go."""

    def __init__(
        self,
        settings: ExportSettings,
        shared: Shared,
        shop: Shop,
        accounts: Accounts,
        people: Callable[[str], int],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], Millis] = lambda: int(time.time() * 1000),
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._shop = shop
        self._accounts = accounts
        self._people = people
        self._clock = clock
        self._wall = wall
        self._open: dict[str, OpenList] = {}
        self._locked_out: set[str] = set()
        self._saying: set[asyncio.Task[None]] = set()

    def senders(self) -> Sequence[ListSender]:
        """All senders."""
        return [it.sender for it in self._open.values()]

    def sender(self, list_id: str) -> ListSender | None:
        """The sender of a list."""
        known = self._open.get(list_id)
        return None if known is None else known.sender

    def making_segments(self) -> bool:
        """Whether segments are being made just now."""
        return any(it.making is not None and not it.making.done() for it in self._open.values())

    async def follow(self) -> list[ListSender]:
        """Open a sender for each list with running jobs; returns those that are new, or were opened anew."""
        opened: list[ListSender] = []
        for list_id, listed in list(self._shared.exports.lists.items()):
            if not listed.running:
                continue
            job = listed.running[0].job
            account = (job.authorization_id, job.client_id)
            known = self._open.get(list_id)
            if known is not None and known.account == account:
                continue
            try:
                access = await self._accounts.access(job)
            except NoCredentialError as fault:
                if list_id not in self._locked_out:
                    log.error("job has no credential", list_id=list_id, why=str(fault))
                self._locked_out.add(list_id)
                await self._shop.attend(list_id, str(fault))
                continue
            if known is not None:
                await self._close(known)
            opened.append(self._opened(list_id, access, account))
            if list_id in self._locked_out:
                self._locked_out.discard(list_id)
                await self._shop.attend(list_id, None)
        return opened

    async def close(self) -> None:
        """End all senders; what is on the wire is given up."""
        for known in self._open.values():
            await self._close(known)
        self._open.clear()

    async def _close(self, known: OpenList) -> None:
        tasks = [known.task, *([known.making] if known.making is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await known.sender.give_up()

    def _opened(self, list_id: str, access: Access, account: tuple[str, str]) -> ListSender:
        async def lost(_why: str) -> None:
            await self._shared.values_lost(list_id, fields.made)

        async def after_fields(_keys: dict[str, str]) -> None:
            await self._shared.fields_made(list_id, fields.made)
            self.keep_segments(list_id)

        fields = ListFields(
            access.apis["live"],
            list_id,
            check_seconds=self._settings.fields_check_seconds,
            made=self._shared.list_state(list_id).made,
            lost=lost,
            clock=self._clock,
        )
        name_of = self._shared.catalogue.name_of
        couriers = {
            lane: Courier(api, list_id, name_of, lambda text: access.to_utc(account[1], text))
            for lane, api in access.apis.items()
        }
        guard = Guard(
            lambda: self._listed(list_id),
            lambda: self._people(list_id),
            window_seconds=self._settings.guard_window_seconds,
            minimum=self._settings.guard_minimum,
            tripped=lambda why: self._tripped(list_id, why),
        )
        sender = ListSender(
            list_id,
            self._shop,
            couriers,
            fields,
            access.limiter,
            guard,
            import_size=self._settings.import_size,
            requests=access.requests,
            probe_seconds=self._settings.probe_seconds,
            after_fields=after_fields,
            clock=self._clock,
            wall=self._wall,
        )
        task = asyncio.create_task(sender.run(), name=f"sender-{list_id}")
        segments = ListSegments(access.apis["background"], list_id)
        self._open[list_id] = OpenList(sender, segments, task, account)
        return sender

    def _listed(self, list_id: str) -> ListView | None:
        return self._shared.exports.lists.get(list_id)

    def _tripped(self, list_id: str, why: str) -> None:
        log.error("removals held back", list_id=list_id, why=why)
        self._say(self._shop.attend(list_id, why))

    def _say(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    # -- segments

    def check_segments(self) -> None:
        """Look at all segments again: people delete and edit them by hand."""
        for list_id, known in self._open.items():
            known.segments.doubt()
            self.keep_segments(list_id)

    def keep_segments(self, list_id: str) -> None:
        """Make what is missing beside the sending; only for options that the field has already."""
        listed, known = self._listed(list_id), self._open.get(list_id)
        if listed is None or known is None or (known.making is not None and not known.making.done()):
            return
        fields = known.sender.fields
        plans = planned(listed, self._shared.catalogue)
        ready = {it.title: it for it in plans.values() if it.option in fields.options_of(it.field)}
        keys = {it.field: key for it in ready.values() if (key := fields.key_of(it.field)) is not None}

        async def make() -> None:
            try:
                await known.segments.keep(ready, keys)
            except CampaignMonitorError as error:
                log.warning("segments could not be made", list_id=list_id, error=str(error))
                known.segments.doubt()
            except Exception:
                log.exception("segments could not be made", list_id=list_id)
                known.segments.doubt()

        if known.segments.missing(ready):
            known.making = asyncio.create_task(make(), name=f"segments-{list_id}")
