"""One segment for each exported audience, whose rule matches exactly that audience's option.

`EQUALS` on a select-many field compares whole options, so "vip" never matches "vip-eu". A renamed audience's segment
is renamed with it, found by the title that the audience's former name gave it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.errors.exceptions import SegmentRejected
from streams.domain.catalogue import Catalogue
from streams.domain.exports import ListView
from streams.domain.values import option_text

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


def planned(listed: ListView, catalogue: Catalogue) -> dict[str, SegmentPlan]:
    """Return the segments that the list's running jobs want, by title."""
    plans: dict[str, SegmentPlan] = {}
    for view in listed.running:
        for audience in sorted(catalogue if view.audiences is None else view.audiences):
            entry = catalogue.get(audience)
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
    """The segments of one list, as last read."""

    def __init__(self, api: CampaignMonitor, list_id: str) -> None:
        self._api = api
        self._list_id = list_id
        self._checked: dict[str, SegmentPlan] = {}

    def missing(self, plans: Mapping[str, SegmentPlan]) -> bool:
        """Say whether some segment has not been made or checked since the last `doubt`."""
        return any(self._checked.get(title) != plan for title, plan in plans.items())

    def doubt(self) -> None:
        """Look at all segments again."""
        self._checked.clear()

    async def keep(self, plans: Mapping[str, SegmentPlan], keys: Mapping[str, str]) -> None:
        """Make, rename or mend segments. `keys`: custom field's name -> key. Raises what the calls raise.

        A plan whose field has no key yet is left for the next time.
        """
        todo = [plan for title, plan in plans.items() if self._checked.get(title) != plan and plan.field in keys]
        if not todo:
            return
        existing = {it.title: it.segment_id for it in await self._api.lists.segments(self._list_id)}
        for plan in todo:
            rules = [[(keys[plan.field], f"EQUALS {plan.option}")]]
            known = existing.get(plan.title)
            former = next((title for title in plan.former if title in existing and title not in plans), None)
            if known is not None:
                found = await self._api.segments.details(known)
                if [list(group) for group in found.rule_groups] != rules:
                    await self._api.segments.update(known, plan.title, rules)
                    log.info("segment mended", list_id=self._list_id, segment=plan.title)
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
            log.info("segment made", list_id=self._list_id, segment=plan.title)
