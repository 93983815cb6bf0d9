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
from connectors.devkit.simulator.data.entities import Json, Segment, SubscriberList
from connectors.devkit.simulator.data.fields import Values
from connectors.devkit.simulator.data.transitions import State
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.protocol.call import EMPTY, Answer, Call, Route
from connectors.devkit.simulator.protocol.errors import MESSAGES, ApiError, undeserialisable
from connectors.devkit.simulator.protocol.paging import envelope, read_page
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.listings import ORDER_FIELDS, listed, since_date

_REMEMBERED_VERDICTS = 100_000


def of_client(call: Call) -> Answer:
    """Answer the segments of a client's lists."""
    client = call.client()
    return Answer([_title(one) for one in call.state.segments.values() if one.parent.client is client])


def of_list(call: Call) -> Answer:
    """Answer the segments of a list."""
    target = call.list()
    return Answer([_title(one) for one in call.state.segments.values() if one.parent is target])


def create(call: Call) -> Answer:
    """Create a segment and answer its id as a bare string."""
    target, body = call.list(), call.body()
    title = _checked_title(call.state, target, body)
    groups = checked_groups(call.state, target, body.get("rulegroups"))
    limit = call.state.settings.max_segments
    if limit is not None and sum(one.parent.client is target.client for one in call.state.segments.values()) >= limit:
        raise ApiError(283)
    made = Segment(call.state.identifiers.new("segment"), target, title, groups, call.state.clock.time())
    call.state.segments[made.segment_id] = made
    return Answer(made.segment_id, 201)


def update(call: Call) -> Answer:
    """Replace title and rules."""
    one, body = call.segment(), call.body()
    title = _checked_title(call.state, one.parent, body, one)
    groups = checked_groups(call.state, one.parent, body.get("rulegroups"))
    one.title = title
    _replace(call.state, one, groups)
    return EMPTY


def add_rules(call: Call) -> Answer:
    """Add one group of rules."""
    one, body = call.segment(), call.body()
    groups = checked_groups(call.state, one.parent, [{"Rules": body.get("rules")}])
    _replace(call.state, one, one.groups + groups)
    return EMPTY


def clear_rules(call: Call) -> Answer:
    """Take all rules away: every active subscriber is in the segment then."""
    _replace(call.state, call.segment(), [])
    return EMPTY


def delete(call: Call) -> Answer:
    """Delete a segment; 272 while a draft is to be sent to it."""
    one = call.segment()
    if any(one.segment_id in draft.segment_ids for draft in call.state.campaigns.values() if not draft.sent):
        raise ApiError(272)
    del call.state.segments[one.segment_id]
    return EMPTY


def details(call: Call) -> Answer:
    """Answer title, rules and the number of members."""
    one = call.segment()
    shown = [{"Rules": [dict(rule) for rule in group]} for group in one.groups]
    count = len(members(call.state, one, allow_stale=True))
    return Answer({"ActiveSubscribers": count, "RuleGroups": shown, **_title(one)})


def active(call: Call) -> Answer:
    """Answer a page of the active subscribers that meet the rules."""
    one = call.segment()
    since = since_date(call, one.parent)
    request = read_page(call.query, ORDER_FIELDS)
    rows = members(call.state, one)
    if since is not None:
        rows = [row for row in rows if one.parent.roster.changed[row] >= since]
    rows = sorted(rows, key=one.parent.roster.sort_key(request.field))
    start, stop = request.window(len(rows))
    page = rows[start:stop]
    if request.descending:
        page.reverse()
    return Answer(envelope(listed(call, one.parent, page, mail_client=False), request, len(rows)))


def members(state: SimulatorState, one: Segment, *, allow_stale: bool = False) -> list[int]:
    """Return the rows of a segment. Raises ApiError 278 while it is being calculated, unless old ones will do."""
    if state.clock.time() < one.rules_at + state.settings.segment_delay_seconds:
        if state.settings.segment_delay_answer == "278" and not allow_stale:
            raise ApiError(278)
        return one.members
    version = (one.parent.roster.version, one.revision)
    if one.cached_for != version or _has_campaign_rule(one):
        one.members = list(_evaluated(state, one))
        one.cached_for = version
    return one.members


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
        raise ApiError(277, MESSAGES[277], failures)
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


def _evaluated(state: SimulatorState, one: Segment) -> list[int]:
    roster, zone = one.parent.roster, one.parent.client.zone
    groups: list[list[Clause]] = []
    for group in one.groups:
        clauses = []
        for rule in group:
            try:
                clauses.append(_parsed(state, one.parent, rule["RuleType"], rule["Clause"]))
            except RuleError:
                continue  # the field or the option behind the rule is gone: nobody meets it
        groups.append(clauses)
    campaign = _campaign_answer(state)

    # Of a million subscribers only what the rules look at is worked out.
    kinds = {clause.kind for group in groups for clause in group}
    by_email, by_name, by_date = bool(kinds & {"email", "campaign"}), "name" in kinds, "subscribed" in kinds

    def meets(row: int) -> bool:
        subject = Subject(
            roster.email(row) if by_email else "",
            roster.name(row) if by_name else "",
            local_text(roster.joined[row], zone)[:10] if by_date else "",
            roster.values(row),
        )
        return all(any(holds(clause, subject, campaign) for clause in group) for group in groups)

    rows = roster.rows(State.ACTIVE)
    if groups and not (by_email or by_name or by_date):
        # Then the values decide alone, and most subscribers share theirs with others.
        verdicts: dict[Values, bool] = {}
        found = []
        for row in rows:
            values = roster.values(row)
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


def _has_campaign_rule(one: Segment) -> bool:
    return any(rule["RuleType"].lower().startswith("campaign") for group in one.groups for rule in group)


def _replace(state: SimulatorState, one: Segment, groups: list[list[Json]]) -> None:
    one.groups = groups
    one.rules_at = state.clock.time()
    one.revision += 1


def _title(one: Segment) -> Json:
    return {"ListID": one.parent.list_id, "SegmentID": one.segment_id, "Title": one.title}


def _checked_title(state: SimulatorState, target: SubscriberList, body: Json, own: Segment | None = None) -> str:
    title = body.get("title")
    if title is not None and not isinstance(title, str):
        raise undeserialisable("segment")
    if not title or not title.strip():
        raise ApiError(273)
    for one in state.segments.values():
        if one is not own and one.parent is target and one.title.lower() == title.lower():
            raise ApiError(275)
    return title


ROUTES = (
    Route("GET", "/clients/{clientid}/segments", of_client),
    Route("GET", "/lists/{listid}/segments", of_list),
    Route("POST", "/segments/{listid}", create, "ManageLists", "segment"),
    Route("GET", "/segments/{segmentid}", details),
    Route("PUT", "/segments/{segmentid}", update, "ManageLists", "segment"),
    Route("DELETE", "/segments/{segmentid}", delete, "ManageLists"),
    Route("POST", "/segments/{segmentid}/rules", add_rules, "ManageLists", "segment"),
    Route("DELETE", "/segments/{segmentid}/rules", clear_rules, "ManageLists"),
    Route("GET", "/segments/{segmentid}/active", active),
)
