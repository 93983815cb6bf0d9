"""One segment per option of a custom field: found, created, renamed, and its rule compared exactly.

The rule is `EQUALS option` on the field's key: `vip` never matches `vip-eu`, as CONTAINS would.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from connectors.campaign_monitor.client.entities import SegmentDetails, SegmentRef
from connectors.campaign_monitor.client.list_endpoints import RuleGroups
from connectors.campaign_monitor.errors.exceptions import ResourceMissing, SegmentRejected
from connectors.campaign_monitor.fields import plain


class SegmentConflict(ValueError):  # noqa: N818 - named after what happened
    """A segment of this title exists and does something else; the message names what to change."""


class SegmentApi(Protocol):
    """The part of `client.segments` that is used here."""

    async def create(self, list_id: str, title: str, rule_groups: RuleGroups) -> str: ...

    async def update(self, segment_id: str, title: str, rule_groups: RuleGroups) -> None: ...

    async def details(self, segment_id: str) -> SegmentDetails: ...


class ListSegmentsApi(Protocol):
    """The part of `client.lists` that is used here."""

    async def segments(self, list_id: str) -> list[SegmentRef]: ...


@dataclass(frozen=True, slots=True)
class EnsuredSegment:
    """A segment that is as it should be now, and what was done for it."""

    segment_id: str
    change: Literal["unchanged", "created", "renamed", "repaired"]


def rules_for_option(field_key: str, option: str) -> RuleGroups:
    """Return the rules of a segment of everybody who has this option."""
    return (((field_key, f"EQUALS {option}"),),)


def same_rules(left: RuleGroups, right: RuleGroups) -> bool:
    """Whether two sets of rules select the same people.

    Verbs and rule types compare without case, operands exactly; the order of groups and of rules in a group is free.
    """
    return _comparable(left) == _comparable(right)


def _comparable(groups: RuleGroups) -> frozenset[frozenset[tuple[str, str, str]]]:
    return frozenset(frozenset(_rule(kind, clause) for kind, clause in group) for group in groups)


def _rule(kind: str, clause: str) -> tuple[str, str, str]:
    verb, _, operand = clause.strip().partition(" ")
    return plain(kind), verb.upper(), operand.strip()


async def ensure_segment(
    segments: SegmentApi,
    lists: ListSegmentsApi,
    list_id: str,
    title: str,
    rules: RuleGroups,
    *,
    known_id: str | None = None,
) -> EnsuredSegment:
    """Return the segment with this title and these rules; create, rename or repair it.

    `known_id` is the segment that we made earlier: it is ours, so it is renamed and repaired at will, and recreated
    when somebody deleted it. A segment that merely has the title is taken over only when its rules are the same.
    Raises SegmentConflict for one with other rules, SegmentBusy (278, 287: try later), SegmentRejected (277 with the
    reasons in `result_data`, such as 2722 for an option that does not exist yet; 283 when the account is full).
    """
    if known_id is not None:
        try:
            return await _as_wanted(segments, await segments.details(known_id), title, rules)
        except ResourceMissing as missing:
            if missing.code not in (271, 404, None):
                raise
    existing = await _titled(lists, list_id, title)
    if existing is None:
        try:
            return EnsuredSegment(await segments.create(list_id, title, rules), "created")
        except SegmentRejected as rejected:
            existing = await _titled(lists, list_id, title) if rejected.code == 275 else None
            if existing is None:
                raise
    details = await segments.details(existing.segment_id)
    if not same_rules(details.rule_groups, rules):
        raise SegmentConflict(
            f"the list has a segment {title!r} with other rules: rename it, or give the job another segment name"
        )
    return EnsuredSegment(existing.segment_id, "unchanged")


async def _as_wanted(segments: SegmentApi, details: SegmentDetails, title: str, rules: RuleGroups) -> EnsuredSegment:
    right = same_rules(details.rule_groups, rules)
    if right and details.title == title:
        return EnsuredSegment(details.segment_id, "unchanged")
    await segments.update(details.segment_id, title, rules)
    return EnsuredSegment(details.segment_id, "renamed" if right else "repaired")


async def _titled(lists: ListSegmentsApi, list_id: str, title: str) -> SegmentRef | None:
    # Whether titles that differ in case only are duplicates (275) is not documented: an exact one comes first.
    wanted = title.strip()
    refs = await lists.segments(list_id)
    exact = next((ref for ref in refs if ref.title.strip() == wanted), None)
    return exact or next((ref for ref in refs if ref.title.strip().casefold() == wanted.casefold()), None)


def broken_rules(rejected: SegmentRejected) -> list[int]:
    """Return the codes of the rules that were refused with 277; empty when the answer did not list them."""
    details = rejected.result_data if isinstance(rejected.result_data, list) else []
    entries = [entry for entry in details if isinstance(entry, dict)]
    clauses = [clause for entry in entries for clause in entry.get("ClauseResults") or () if isinstance(clause, dict)]
    return [code for entry in (*entries, *clauses) if isinstance(code := entry.get("Code"), int)]
