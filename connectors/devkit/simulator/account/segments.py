"""Segments: create, read, replace, add rules, delete, and the active subscribers that meet the rules."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from connectors.devkit.simulator.account.segment_rules import (
    RULE_MESSAGES,
    Clause,
    RuleError,
    Subject,
    holds,
    parse_rule,
    rule_texts,
)
from connectors.devkit.simulator.data.entities import Json, SimulatedSegment, SubscriberList
from connectors.devkit.simulator.data.fields import FieldValues
from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import MESSAGES, SimulatedApiError, undeserialisable
from connectors.devkit.simulator.protocol.paging import envelope, read_page
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.listings import ORDER_FIELDS, listed, since_date

_REMEMBERED_VERDICTS = 100_000


def of_client(call: ApiCall) -> EndpointResult:
    """Answer the segments of a client's lists."""
    client = call.client()
    return EndpointResult(
        [_title(segment) for segment in call.state.segments.values() if segment.parent.client is client]
    )


def of_list(call: ApiCall) -> EndpointResult:
    """Answer the segments of a list."""
    target = call.list()
    return EndpointResult([_title(segment) for segment in call.state.segments.values() if segment.parent is target])


def create(call: ApiCall) -> EndpointResult:
    """Create a segment and answer its id as a bare string."""
    target, body = call.list(), call.body()
    title = _checked_title(call.state, target, body)
    groups = checked_groups(call.state, target, body.get("rulegroups"))
    limit = call.state.settings.max_segments
    if (
        limit is not None
        and sum(segment.parent.client is target.client for segment in call.state.segments.values()) >= limit
    ):
        raise SimulatedApiError(283)
    made = SimulatedSegment(call.state.identifiers.new("segment"), target, title, groups, call.state.clock.time())
    call.state.segments[made.segment_id] = made
    return EndpointResult(made.segment_id, 201)


def update(call: ApiCall) -> EndpointResult:
    """Replace title and rules."""
    segment, body = call.segment(), call.body()
    title = _checked_title(call.state, segment.parent, body, segment)
    groups = checked_groups(call.state, segment.parent, body.get("rulegroups"))
    segment.title = title
    _replace(call.state, segment, groups)
    return NO_BODY


def add_rules(call: ApiCall) -> EndpointResult:
    """Add one group of rules."""
    segment, body = call.segment(), call.body()
    groups = checked_groups(call.state, segment.parent, [{"Rules": body.get("rules")}])
    _replace(call.state, segment, segment.groups + groups)
    return NO_BODY


def clear_rules(call: ApiCall) -> EndpointResult:
    """Take all rules away: every active subscriber is in the segment then."""
    _replace(call.state, call.segment(), [])
    return NO_BODY


def delete(call: ApiCall) -> EndpointResult:
    """Delete a segment; 272 while a draft is to be sent to it."""
    segment = call.segment()
    if any(segment.segment_id in draft.segment_ids for draft in call.state.campaigns.values() if not draft.sent):
        raise SimulatedApiError(272)
    del call.state.segments[segment.segment_id]
    return NO_BODY


def details(call: ApiCall) -> EndpointResult:
    """Answer title, rules and the number of members."""
    segment = call.segment()
    shown = [{"Rules": [dict(rule) for rule in group]} for group in segment.groups]
    count = len(members(call.state, segment, allow_stale=True))
    return EndpointResult({"ActiveSubscribers": count, "RuleGroups": shown, **_title(segment)})


def active(call: ApiCall) -> EndpointResult:
    """Answer a page of the active subscribers that meet the rules."""
    segment = call.segment()
    since = since_date(call, segment.parent)
    request = read_page(call.query, ORDER_FIELDS)
    rows = members(call.state, segment)
    if since is not None:
        rows = [row for row in rows if segment.parent.subscribers.changed[row] >= since]
    rows = sorted(rows, key=segment.parent.subscribers.sort_key(request.field))
    start, stop = request.window(len(rows))
    page = rows[start:stop]
    if request.descending:
        page.reverse()
    return EndpointResult(envelope(listed(call, segment.parent, page, mail_client=False), request, len(rows)))


def members(state: SimulatorState, segment: SimulatedSegment, *, allow_stale: bool = False) -> list[int]:
    """Return the rows of a segment. Raises ApiError 278 while it is being calculated, unless old ones will do."""
    if state.clock.time() < segment.rules_at + state.settings.segment_delay_seconds:
        if state.settings.segment_delay_answer == "278" and not allow_stale:
            raise SimulatedApiError(278)
        return segment.members
    version = (segment.parent.subscribers.version, segment.revision)
    if segment.cached_for != version or _has_campaign_rule(segment):
        segment.members = list(_evaluated(state, segment))
        segment.cached_for = version
    return segment.members


def checked_groups(state: SimulatorState, target: SubscriberList, raw: Any) -> list[list[Json]]:
    """Return the rule groups of a body. Raises ApiError 277 with everything that is wrong with them."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise undeserialisable("segment")
    groups: list[list[Json]] = []
    failures: list[Json] = []
    for group in raw:
        rules = {key.lower(): value for key, value in group.items()}.get("rules") if isinstance(group, dict) else None
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise undeserialisable("segment")
        checked: list[Json] = []
        for rule in rules:
            rule_type, clause = rule_texts(rule)
            try:
                _parsed(state, target, rule_type, clause)
            except RuleError as error:
                failures.append(_failure(rule_type, clause, error))
            checked.append({"RuleType": rule_type, "Clause": clause})
        groups.append(checked)
    if failures:
        raise SimulatedApiError(277, MESSAGES[277], failures)
    return groups


def _failure(rule_type: str, clause: str, error: RuleError) -> Json:
    inner = {"Clause": clause, "Code": error.code, "Message": RULE_MESSAGES[error.code]}
    outer = error.code if error.whole else 2703
    results = [] if error.whole else [inner]
    return {"Subject": rule_type, "Code": outer, "Message": RULE_MESSAGES[outer], "ClauseResults": results}


def _parsed(state: SimulatorState, target: SubscriberList, rule_type: str, clause: str) -> Clause:
    year = datetime.fromtimestamp(state.clock.now(), target.client.zone).year

    def check(kind: str, operands: tuple[str, ...]) -> int | None:
        campaign = state.campaigns.get(operands[0]) if operands else None
        if campaign is None or not campaign.sent:
            return 2750
        if target.list_id not in campaign.list_ids:
            return 2751
        if kind.endswith("Specific") and (len(operands) < 2 or operands[1] not in campaign.links):
            return 2753
        return None

    return parse_rule(rule_type, clause, target.field_lookup, year, check)


def _evaluated(state: SimulatorState, segment: SimulatedSegment) -> list[int]:
    subscribers, zone = segment.parent.subscribers, segment.parent.client.zone
    groups: list[list[Clause]] = []
    for group in segment.groups:
        clauses = []
        for rule in group:
            try:
                clauses.append(_parsed(state, segment.parent, rule["RuleType"], rule["Clause"]))
            except RuleError:
                continue  # the field or the option behind the rule does not exist any more: nobody meets it
        groups.append(clauses)
    campaign = _campaign_answer(state)

    # Of a million subscribers only what the rules look at is worked out.
    kinds = {clause.kind for group in groups for clause in group}
    by_email, by_name, by_date = bool(kinds & {"email", "campaign"}), "name" in kinds, "subscribed" in kinds

    def meets(row: int) -> bool:
        subject = Subject(
            subscribers.email(row) if by_email else "",
            subscribers.name(row) if by_name else "",
            local_text(subscribers.joined[row], zone)[:10] if by_date else "",
            subscribers.values(row),
        )
        return all(any(holds(clause, subject, campaign) for clause in group) for group in groups)

    rows = subscribers.rows(SimulatedState.ACTIVE)
    if groups and not (by_email or by_name or by_date):
        # Then only the values count, and most subscribers share theirs with others.
        verdicts: dict[FieldValues, bool] = {}
        found = []
        for row in rows:
            values = subscribers.values(row)
            verdict = verdicts.get(values)
            if verdict is None:
                verdict = meets(row)
                if len(verdicts) < _REMEMBERED_VERDICTS:
                    verdicts[values] = verdict
            if verdict:
                found.append(row)
        return found
    return [row for row in rows if meets(row)] if groups else list(rows)


def _campaign_answer(state: SimulatorState) -> Callable[[str, tuple[str, ...], str], bool]:
    def answer(kind: str, operands: tuple[str, ...], email: str) -> bool:
        specific = kind.endswith("Specific")
        campaign = state.campaigns[operands[0]]
        opened = bool(campaign.actions(email, "opens", state.clock.now()))
        clicked = [
            row
            for row in campaign.actions(email, "clicks", state.clock.now())
            if not specific or row.url == operands[1]
        ]
        match kind:
            case "CampaignOpened":
                return opened
            case "CampaignNotOpened":
                return not opened
            case "CampaignOpenedNoClick":
                return opened and not clicked
            case "CampaignNotClickedSpecific":
                return not clicked
            case _:
                return bool(clicked)

    return answer


def _has_campaign_rule(segment: SimulatedSegment) -> bool:
    return any(rule["RuleType"].lower().startswith("campaign") for group in segment.groups for rule in group)


def _replace(state: SimulatorState, segment: SimulatedSegment, groups: list[list[Json]]) -> None:
    segment.groups = groups
    segment.rules_at = state.clock.time()
    segment.revision += 1


def _title(segment: SimulatedSegment) -> Json:
    return {"ListID": segment.parent.list_id, "SegmentID": segment.segment_id, "Title": segment.title}


def _checked_title(
    state: SimulatorState, target: SubscriberList, body: Json, own: SimulatedSegment | None = None
) -> str:
    title = body.get("title")
    if title is not None and not isinstance(title, str):
        raise undeserialisable("segment")
    if not title or not title.strip():
        raise SimulatedApiError(273)
    for segment in state.segments.values():
        if segment is not own and segment.parent is target and segment.title.lower() == title.lower():
            raise SimulatedApiError(275)
    return title


ROUTES = (
    Endpoint("GET", "/clients/{clientid}/segments", of_client),
    Endpoint("GET", "/lists/{listid}/segments", of_list),
    Endpoint("POST", "/segments/{listid}", create, "ManageLists", "segment"),
    Endpoint("GET", "/segments/{segmentid}", details),
    Endpoint("PUT", "/segments/{segmentid}", update, "ManageLists", "segment"),
    Endpoint("DELETE", "/segments/{segmentid}", delete, "ManageLists"),
    Endpoint("POST", "/segments/{segmentid}/rules", add_rules, "ManageLists", "segment"),
    Endpoint("DELETE", "/segments/{segmentid}/rules", clear_rules, "ManageLists"),
    Endpoint("GET", "/segments/{segmentid}/active", active),
)
