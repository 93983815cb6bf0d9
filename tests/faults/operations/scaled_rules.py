"""The alert rules with a second for each minute, so that a test sees them become true and false.

Divided by sixty are what is a time in the rules file: `for`, ranges such as [5m], and the number that a series which
ends in `_seconds` is compared with. Everything else is evaluated as it is deployed. Prometheus looks every half second,
where the example configuration says 15 seconds: a range holds at least as many samples as in use.
"""

import re
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "rules.yaml"
SECONDS_IN_A_MINUTE = 1.0
LOOK_SECONDS = 0.5
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600}
_RANGE = re.compile(r"\[(\d+)([smh])\]")
_COMPARED = re.compile(r"(?<=_seconds\) > )\d+|(?<=_seconds > )\d+")


def scaled_rules(text: str) -> str:
    """Return the rules file with its times divided; all of them are whole minutes or hours."""
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.update(for_and_expression(rule))
    return yaml.safe_dump(rules, sort_keys=False, width=1000)


def for_and_expression(rule: dict[str, Any]) -> dict[str, str]:
    """Return both times' owners of one rule, scaled."""
    held = re.fullmatch(r"(\d+)([smh])", rule["for"])
    assert held is not None, f"{rule['alert']}: what is {rule['for']}?"
    ranges = _RANGE.sub(lambda found: f"[{_scaled(*found.groups())}]", rule["expr"])
    compared = _COMPARED.sub(lambda found: f"{int(found.group()) / 60 * SECONDS_IN_A_MINUTE:g}", ranges)
    return {"for": _scaled(*held.groups()), "expr": compared}


def _scaled(number: str, unit: str) -> str:
    return f"{round(int(number) * _SECONDS_OF[unit] / 60 * SECONDS_IN_A_MINUTE * 1000)}ms"
