"""Segment rules: reading them, refusing wrong ones, and evaluating them. No side effects here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from connectors.devkit.simulator.data.fields import SELECTS, SimulatedField, as_date, bare, is_number

RULE_MESSAGES = {
    2703: "Invalid Segment Clauses",
    2704: "Empty Segment RuleType",
    2705: "Invalid Segment RuleType",
    2706: "Empty Segment Clauses",
    2710: "Empty Clause",
    2712: "Invalid Verb For Name Rule",
    2713: "Invalid Verb For Email Rule",
    2714: "Invalid Verb For DateSubscribed Rule",
    2715: "Invalid Verb For Text Field Rule",
    2716: "Invalid Verb For Number Field Rule",
    2717: "Invalid Verb For Multi-Option Field Rule",
    2718: "Invalid Verb For Date Field Rule",
    2719: "Required Clause Object Missing",
    2720: "Invalid Date Format",
    2721: "Invalid Number Format",
    2722: "Option Doesnt Exist For Field",
    2723: "Invalid year for Date Subscribed",
    2750: "Valid CampaignID Required",
    2751: "Campaign Not Sent To List",
    2753: "Link Not In Campaign",
    2754: "Segment Rule Clause Not Parsed",
    2755: "Invalid Between Date Format",
    2756: "Invalid Between Number Format",
}

_TEXT = ("EQUALS", "NOT_EQUALS", "CONTAINS", "NOT_CONTAINS")
_PRESENCE = ("PROVIDED", "NOT_PROVIDED")
_DATES = ("EQUALS", "NOT_EQUALS", "BEFORE", "AFTER", "BETWEEN")
_NUMBERS = ("EQUALS", "NOT_EQUALS", "GREATER_THAN", "LESS_THAN", "BETWEEN")
_OPTIONS = ("EQUALS", "NOT_EQUALS")

CAMPAIGN_RULES = (
    "CampaignOpened",
    "CampaignNotOpened",
    "CampaignOpenedNoClick",
    "CampaignClickedAny",
    "CampaignClickedSpecific",
    "CampaignNotClickedSpecific",
)
_SUBJECTS = ("Name", "EmailAddress", "DateSubscribed", *CAMPAIGN_RULES)


class RuleError(Exception):
    """A rule that Campaign Monitor refuses, with its inner code; `whole` when the rule type itself is wrong."""

    def __init__(self, code: int, *, whole: bool = False) -> None:
        super().__init__(f"{code}: {RULE_MESSAGES[code]}")
        self.code = code
        self.whole = whole


@dataclass(frozen=True, slots=True)
class Clause:
    """A parsed clause: what is looked at, how, and with what."""

    kind: str  # name, email, subscribed, text, number, date, option, campaign
    verb: str
    operands: tuple[str, ...]
    field: int = 0
    rule_type: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules look at in one subscriber; `subscribed` is the local date `YYYY-MM-DD`."""

    email: str
    name: str
    subscribed: str
    values: tuple[tuple[int, str], ...]


def parse_rule(
    rule_type: str,
    clause: str,
    fields: Mapping[str, SimulatedField],
    year: int,
    check_campaign: Callable[[str, tuple[str, ...]], int | None],
) -> Clause:
    """Return a rule's clause. Raises RuleError.

    `fields` are the list's by bare key, `year` is the current one, `check_campaign` returns the error code
    of a campaign rule's operands, None when they are right.
    """
    if not rule_type:
        raise RuleError(2704, whole=True)
    subject = next((known for known in _SUBJECTS if known.lower() == rule_type.lower()), None)
    field = fields.get(bare(rule_type)) if rule_type.startswith("[") else None
    if subject is None and field is None:
        raise RuleError(2705, whole=True)
    if not clause.strip():
        raise RuleError(2710)
    if subject in CAMPAIGN_RULES:
        operands = tuple(clause.removeprefix("EQUALS ").split())
        wrong = check_campaign(subject, operands)
        if wrong is not None:
            raise RuleError(wrong)
        return Clause("campaign", "", operands, rule_type=subject)
    verb, _, operand = clause.strip().partition(" ")
    verb, operand = verb.upper(), operand.strip()
    if field is not None:
        return _field_clause(field, verb, operand)
    if subject == "Name":
        return _checked("name", verb, operand, (*_TEXT, *_PRESENCE), 2712)
    if subject == "EmailAddress":
        return _checked("email", verb, operand, _TEXT, 2713)
    parsed = _checked("subscribed", verb, operand, _DATES, 2714)
    for text in parsed.operands:
        if not year - 10 < int(text[:4]) <= year:
            raise RuleError(2723)
    return parsed


def _field_clause(field: SimulatedField, verb: str, operand: str) -> Clause:
    if field.data_type == "Number":
        return _checked("number", verb, operand, (*_NUMBERS, *_PRESENCE), 2716, field.number)
    if field.data_type == "Date":
        return _checked("date", verb, operand, (*_DATES, *_PRESENCE), 2718, field.number)
    if field.choices is None:
        return _checked("text", verb, operand, (*_TEXT, *_PRESENCE), 2715, field.number)
    parsed = _checked("option", verb, operand, (*_OPTIONS, *_PRESENCE), 2717, field.number)
    known = {choice.casefold() for choice in field.choices}
    if parsed.operands and parsed.operands[0].casefold() not in known:
        raise RuleError(2722 if field.data_type in SELECTS else 2754)
    return parsed


def _checked(kind: str, verb: str, operand: str, verbs: tuple[str, ...], wrong_verb: int, field: int = 0) -> Clause:
    if verb not in verbs:
        raise RuleError(wrong_verb)
    if verb in _PRESENCE:
        return Clause(kind, verb, (), field)
    if not operand:
        raise RuleError(2719)
    operands: tuple[str, ...]
    if verb == "BETWEEN":
        low, between, high = operand.partition(" AND ") if " AND " in operand else operand.partition(" and ")
        operands, wrong = (low.strip(), high.strip()), 2756 if kind == "number" else 2755
        if not between:
            raise RuleError(wrong)
    else:
        operands, wrong = (operand,), 2721 if kind == "number" else 2720
    if kind == "number" and not all(is_number(text) for text in operands):
        raise RuleError(wrong)
    if kind in ("date", "subscribed"):
        days = tuple(as_date(text) or _any_date(text) for text in operands)
        if not all(days):
            raise RuleError(wrong)
        operands = tuple(day or "" for day in days)
    return Clause(kind, verb, operands, field)


def _any_date(text: str) -> str | None:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def holds(clause: Clause, subject: Subject, campaign: Callable[[str, tuple[str, ...], str], bool]) -> bool:
    """Return True when a subscriber meets a clause; texts compare without case. `campaign` evaluates campaign rules."""
    kind, verb = clause.kind, clause.verb
    if kind == "campaign":
        return campaign(clause.rule_type, clause.operands, subject.email)
    if kind == "name":
        held = [subject.name] if subject.name else []
    elif kind == "email":
        held = [subject.email]
    elif kind == "subscribed":
        held = [subject.subscribed]
    else:
        held = [text for number, text in subject.values if number == clause.field]
    if verb == "PROVIDED":
        return bool(held)
    if verb == "NOT_PROVIDED":
        return not held
    if verb.startswith("NOT_"):
        return not any(_compare(kind, verb.removeprefix("NOT_"), text, clause.operands) for text in held)
    return any(_compare(kind, verb, text, clause.operands) for text in held)


def _compare(kind: str, verb: str, text: str, operands: tuple[str, ...]) -> bool:
    if kind == "number":
        number, first, last = float(text), float(operands[0]), float(operands[-1])
        return {
            "EQUALS": number == first,
            "GREATER_THAN": number > first,
            "LESS_THAN": number < first,
            "BETWEEN": first <= number <= last,
        }[verb]
    if kind in ("date", "subscribed"):
        day = text[:10]
        return {
            "EQUALS": day == operands[0],
            "BEFORE": day < operands[0],
            "AFTER": day > operands[0],
            "BETWEEN": operands[0] <= day <= operands[-1],
        }[verb]
    wanted = operands[0].casefold()
    return text.casefold() == wanted if verb == "EQUALS" else wanted in text.casefold()


def rule_texts(rule: Mapping[str, Any]) -> tuple[str, str]:
    """Return rule type and clause of a rule object, whatever the case of its keys."""
    folded = {key.lower(): value for key, value in rule.items()}
    return str(folded.get("ruletype") or "").strip(), str(folded.get("clause") or "")
