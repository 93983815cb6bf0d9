"""One segment for each exported audience, whose rule matches exactly that audience's option.

`EQUALS` on a select-many field compares whole options, so "vip" never matches "vip-eu". A renamed audience's segment
is renamed with it, found by the title from the audience's former name.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError, SegmentRejected
from streams.export.lists.fields import ListFields
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.values import option_text

log = structlog.get_logger(__name__)

# The API documents no limit on titles; longer ones would not be readable, and 250 is what every other text may have.
TITLE_LIMIT = 250


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A segment as it should be: its title, titles it may have had, and the option that its rule names."""

    title: str
    former: tuple[str, ...]
    field: str
    option: str


def planned(listed: ListView, names: AudienceNames) -> dict[str, SegmentPlan]:
    """Return the segments that the list's running jobs need, by title."""
    plans: dict[str, SegmentPlan] = {}
    for view in listed.running:
        for audience in sorted(names if view.audiences is None else view.audiences):
            entry = names.get(audience)
            if entry is None:
                continue
            pattern = view.job.segment_name
            former = tuple(segment_title(pattern, name) for name in entry.former)
            plan = SegmentPlan(
                segment_title(pattern, entry.name), former, view.job.custom_field_name, option_text(entry.name)
            )
            plans.setdefault(plan.title, plan)
    return plans


def segment_title(pattern: str, audience: str) -> str:
    """Return the title for an audience's name; a pattern without `{audience}` is put before the name."""
    text = pattern.replace("{audience}", audience) if "{audience}" in pattern else f"{pattern} {audience}"
    return " ".join(text.split())[:TITLE_LIMIT]


class ListSegments:
    """The segments of one list, as last read; created and repaired beside the sending."""

    def __init__(self, api: CampaignMonitor, list_id: str) -> None:
        self._api = api
        self._list_id = list_id
        self._checked: dict[str, SegmentPlan] = {}
        self._task: asyncio.Task[None] | None = None

    def use(self, api: CampaignMonitor) -> None:
        """Make the next calls with this authorization: the one that was used last works."""
        self._api = api

    @property
    def busy(self) -> bool:
        """Whether segments are being written just now."""
        return self._task is not None and not self._task.done()

    def refresh(self, listed: ListView | None, names: AudienceNames, fields: ListFields) -> None:
        """Create or repair, in a task of its own, what was not checked since `expire`.

        Only for options that the audiences field has already; the others are left for the next time.
        """
        if listed is None or self.busy:
            return
        plans = planned(listed, names)
        ready = {plan.title: plan for plan in plans.values() if plan.option in fields.options_of(plan.field)}
        keys = {plan.field: key for plan in ready.values() if (key := fields.key_of(plan.field)) is not None}
        if any(self._checked.get(title) != plan for title, plan in ready.items()):
            self._task = asyncio.create_task(self._refresh(ready, keys), name=f"segments-{self._list_id}")

    def expire(self) -> None:
        """Check all segments again: people delete and edit them by hand."""
        self._checked.clear()

    async def close(self) -> None:
        """End what is being written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _refresh(self, plans: Mapping[str, SegmentPlan], keys: Mapping[str, str]) -> None:
        try:
            await self._write(plans, keys)
        except CampaignMonitorError as error:
            log.warning("segments could not be written", list_id=self._list_id, error=str(error))
            self.expire()
        except Exception:
            log.exception("segments could not be written", list_id=self._list_id)
            self.expire()

    async def _write(self, plans: Mapping[str, SegmentPlan], keys: Mapping[str, str]) -> None:
        """Create, rename or repair segments. `keys`: custom field's name -> key. Raises what the calls raise."""
        todo = [plan for title, plan in plans.items() if self._checked.get(title) != plan and plan.field in keys]
        if not todo:
            return
        existing = {ref.title: ref.segment_id for ref in await self._api.lists.segments(self._list_id)}
        for plan in todo:
            rules = [[(keys[plan.field], f"EQUALS {plan.option}")]]
            known = existing.get(plan.title)
            former = next((title for title in plan.former if title in existing and title not in plans), None)
            if known is not None:
                found = await self._api.segments.details(known)
                if [list(group) for group in found.rule_groups] != rules:
                    await self._api.segments.update(known, plan.title, rules)
                    log.info("segment repaired", list_id=self._list_id, segment=plan.title)
            elif former is not None:
                await self._api.segments.update(existing.pop(former), plan.title, rules)
                log.info("segment renamed", list_id=self._list_id, segment=plan.title, former=former)
            else:
                await self._create(plan, rules)
            self._checked[plan.title] = plan

    async def _create(self, plan: SegmentPlan, rules: list[list[tuple[str, str]]]) -> None:
        try:
            await self._api.segments.create(self._list_id, plan.title, rules)
        except SegmentRejected as refused:
            if refused.code != 275:  # 275: another worker was quicker
                raise
        else:
            log.info("segment created", list_id=self._list_id, segment=plan.title)
