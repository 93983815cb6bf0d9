"""The rules of a segment of everybody who has one option of a custom field, compared exactly.

The rule is `EQUALS option` on the field's key: `vip` never matches `vip-eu`, as CONTAINS would.
"""

from connectors.campaign_monitor.client.list_endpoints import RuleGroups
from connectors.campaign_monitor.errors.codes import CODES
from connectors.campaign_monitor.errors.exceptions import RequestRejected


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
    # A field is named by key or name: `[Shoe Size]`, `[ShoeSize]` and `shoe size` are the same one.
    return "".join(kind.strip("[] ").split()).casefold(), verb.upper(), operand.strip()


def broken_rules(rejected: RequestRejected) -> list[int]:
    """Return the codes of the rules that were refused with 277; empty when the answer did not list them."""
    details = rejected.result_data if isinstance(rejected.result_data, list) else []
    entries = [entry for entry in details if isinstance(entry, dict)]
    clauses = [clause for entry in entries for clause in entry.get("ClauseResults") or () if isinstance(clause, dict)]
    return [code for entry in (*entries, *clauses) if isinstance(code := entry.get("Code"), int)]


def refused_because(rejected: RequestRejected) -> str:
    """Return why a segment was refused, in the words of Campaign Monitor's reference, with its codes."""
    codes = [code for code in (rejected.code, *broken_rules(rejected)) if code is not None]
    reasons = (f"{CODES[code].title} ({code})" if code in CODES else f"code {code}" for code in codes)
    return ", ".join(dict.fromkeys(reasons)) or "it does not say why"
