"""One segment for each exported audience, whose rule matches exactly that audience's option.

`EQUALS` on a select-many field compares whole options, so "vip" never matches "vip-eu". Which segments are ours is
stored (`SharedState.segments`): those are renamed with their audience, repaired when somebody edits them, and created
again when somebody deletes them. A segment that is not known as ours is never changed, and taken for ours only when its
title and rule are exactly what we would have made; otherwise ours gets a number behind its title.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import SegmentRef
from connectors.campaign_monitor.client.list_endpoints import RuleGroups
from connectors.campaign_monitor.errors.exceptions import (
    CampaignMonitorError,
    RequestRejected,
    ResourceMissing,
    SegmentBusy,
)
from connectors.campaign_monitor.segments import refused_because, rules_for_option, same_rules
from streams.batches import BatchError
from streams.export.lists.attention import SEGMENTS, BlockedReports, note
from streams.export.lists.fields import ListFields
from streams.export.lists.shared_state import SharedState
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.values import cut, distinct_texts, field_name, fold_text, option_text

log = structlog.get_logger(__name__)

# The API documents no limit on titles; longer ones would not be readable, and 250 is what every other text may have.
TITLE_LIMIT = 250
REMEDY = "Their people are exported all the same: rename the audience, or change the job's segment name."


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A segment as it should be."""

    key: str
    """What it is for: audience, field and pattern. It stays when the audience is renamed."""
    title: str
    field: str
    option: str
    """The option that its rule names."""
    former: tuple[tuple[str, str], ...] = ()
    """(title, option) that it may have had, latest first."""
    jobs: tuple[str, ...] = ()
    """Ids of the jobs that need it."""


def planned(listed: ListView, names: AudienceNames) -> dict[str, SegmentPlan]:
    """Return the segments that the list's running jobs need, by key. No two titles differ in case only."""
    plans: dict[str, SegmentPlan] = {}
    for view in listed.running:
        pattern, field = view.job.segment_name, view.job.custom_field_name
        for audience in sorted(names if view.audiences is None else view.audiences):
            entry = names.get(audience)
            if entry is None:
                continue
            key = "/".join((audience, field_name(field), pattern))
            if key in plans:
                plans[key] = replace(plans[key], jobs=(*plans[key].jobs, view.id))
                continue
            option = names.option_of(audience)
            former = tuple((segment_title(pattern, name), option_text(name, names.units)) for name in entry.former)
            plans[key] = SegmentPlan(key, segment_title(pattern, option), field, option, former, (view.id,))
    titles = distinct_texts({key: plan.title for key, plan in plans.items()})
    return {key: plan if titles[key] == plan.title else replace(plan, title=titles[key]) for key, plan in plans.items()}


def segment_title(pattern: str, audience: str) -> str:
    """Return the title for an audience's name; a pattern without `{audience}` is put before the name."""
    text = pattern.replace("{audience}", audience) if "{audience}" in pattern else f"{pattern} {audience}"
    return cut(" ".join(text.split()), TITLE_LIMIT)


def free_title(title: str, taken: Collection[str]) -> str:
    """Return the title, with the first number behind it that makes it free. `taken`: titles, folded."""
    numbered = (f"{cut(title, TITLE_LIMIT - 8)} ({number})" for number in count(2))
    return next(text for text in chain([title], numbered) if fold_text(text) not in taken)


class ListSegments:
    """The segments of one list, as last read; created and repaired beside the sending."""

    def __init__(self, api: CampaignMonitor, list_id: str, shared: SharedState, reports: BlockedReports) -> None:
        self._api = api
        self._list_id = list_id
        self._shared = shared
        self._reports = reports
        self._refused: dict[str, str] = {}
        """By plan: why Campaign Monitor refuses the segment."""
        self._reported = False
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
        options = {plan.field: frozenset(fields.options_of(plan.field)) for plan in plans.values()}
        keys = {plan.field: key for plan in plans.values() if (key := fields.key_of(plan.field)) is not None}
        todo = [
            plan
            for plan in plans.values()
            if plan.option in options[plan.field] and plan.field in keys and self._checked.get(plan.key) != plan
        ]
        if todo or not self._reported or not self._refused.keys() <= plans.keys():
            self._task = asyncio.create_task(self._refresh(plans, todo, keys), name=f"segments-{self._list_id}")

    def expire(self) -> None:
        """Check all segments again: people delete and edit them by hand."""
        self._checked.clear()

    async def close(self) -> None:
        """End what is being written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _refresh(
        self, plans: Mapping[str, SegmentPlan], todo: Sequence[SegmentPlan], keys: Mapping[str, str]
    ) -> None:
        """Create, rename or repair segments; one that cannot be made now, or ever, does not stop the others."""
        try:
            if todo:
                existing = {ref.segment_id: ref for ref in await self._api.lists.segments(self._list_id)}
            for plan in todo:
                self._refused.pop(plan.key, None)
                try:
                    await self._write(plan, keys[plan.field], existing)
                except RequestRejected as refused:
                    log.error("segment refused", list_id=self._list_id, segment=plan.title, error=str(refused))
                    self._refused[plan.key] = refused_because(refused)
                except (SegmentBusy, ResourceMissing) as error:
                    log.info("segment not written yet", list_id=self._list_id, segment=plan.title, error=str(error))
                self._checked[plan.key] = plan
            await self._show_refused(plans)
        except (CampaignMonitorError, BatchError) as error:
            log.warning("segments could not be written", list_id=self._list_id, error=str(error))
            self.expire()
        except Exception:
            log.exception("segments could not be written", list_id=self._list_id)
            self.expire()

    async def _show_refused(self, plans: Mapping[str, SegmentPlan]) -> None:
        self._refused = {key: why for key, why in self._refused.items() if key in plans}
        by_job: dict[str, dict[str, str]] = {}
        for key, why in self._refused.items():
            for job in plans[key].jobs:
                by_job.setdefault(job, {})[plans[key].title] = why
        notes = {job: note(SEGMENTS, named, REMEDY) for job, named in by_job.items()}
        await self._reports.note(self._list_id, SEGMENTS, notes)
        self._reported = True

    async def _write(self, plan: SegmentPlan, field_key: str, existing: dict[str, SegmentRef]) -> None:
        """Bring one segment about. `existing`: by id, kept up to date. Raises what the calls and publishing raise."""
        known = self._shared.segments(self._list_id).get(plan.key)
        if known not in existing:
            known = await self._adoptable(plan, field_key, existing)
        taken = {fold_text(ref.title) for ref in existing.values() if ref.segment_id != known}
        title, rules = free_title(plan.title, taken), rules_for_option(field_key, plan.option)
        if known is None:
            known = await self._api.segments.create(self._list_id, title, rules)
            log.info("segment created", list_id=self._list_id, segment=title)
        else:
            found = await self._api.segments.details(known)
            if found.title != title or not same_rules(found.rule_groups, rules):
                await self._api.segments.update(known, title, rules)
                log.info("segment repaired", list_id=self._list_id, segment=title, former=found.title)
        existing[known] = SegmentRef(self._list_id, known, title)
        if self._shared.segments(self._list_id).get(plan.key) != known:
            await self._shared.segment_made(self._list_id, plan.key, known)

    async def _adoptable(self, plan: SegmentPlan, field_key: str, existing: Mapping[str, SegmentRef]) -> str | None:
        """Return a segment that has exactly the title and rule of ours, now or before a rename, and is no other's."""
        others = frozenset(self._shared.segments(self._list_id).values())
        for title, option in ((plan.title, plan.option), *plan.former):
            for ref in existing.values():
                if ref.title != title or ref.segment_id in others:
                    continue
                rules: RuleGroups = (await self._api.segments.details(ref.segment_id)).rule_groups
                if same_rules(rules, rules_for_option(field_key, option)):
                    log.info("segment adopted", list_id=self._list_id, segment=title)
                    return ref.segment_id
        return None
