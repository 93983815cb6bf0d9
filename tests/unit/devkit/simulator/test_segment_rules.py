import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.account.segment_rules import RuleError, Subject, holds, parse_rule
from connectors.devkit.simulator.data.fields import SimulatedField, fields_by_name

FIELDS = fields_by_name(
    [
        SimulatedField(1, "City", "Text"),
        SimulatedField(2, "Size", "Number"),
        SimulatedField(3, "Audiences", "MultiSelectMany", ["buyers", "high value"]),
        SimulatedField(4, "Birthday", "Date"),
        SimulatedField(5, "Country", "Country"),
    ]
)
VALUES = ((1, "Ghent"), (2, "42"), (3, "buyers"), (3, "high value"), (4, "2000-02-29"), (5, "Belgium"))
MARA = Subject("mara@example.net", "Mara Doe", "2026-03-04", VALUES)
NOBODY = Subject("x@example.org", "", "2020-01-01", ())


def parse(rule_type, clause):
    return parse_rule(rule_type, clause, FIELDS, 2026, lambda _kind, _operands: None)


def meets(rule_type, clause, subject=MARA):
    return holds(parse(rule_type, clause), subject, lambda *_arguments: True)


@pytest.mark.parametrize(
    ("rule_type", "clause"),
    [
        ("Name", "EQUALS mara doe"),
        ("Name", "CONTAINS DOE"),
        ("Name", "PROVIDED"),
        ("EmailAddress", "CONTAINS example.net"),
        ("EmailAddress", "NOT_EQUALS a@b.c"),
        ("DateSubscribed", "AFTER 2026-03-03"),
        ("DateSubscribed", "EQUALS 2026-03-04"),
        ("DateSubscribed", "BETWEEN 2026-03-04 AND 2026-03-05"),
        ("[City]", "EQUALS ghent"),
        ("[city]", "NOT_CONTAINS Bruges"),
        ("[Size]", "GREATER_THAN 41.5"),
        ("[Size]", "LESS_THAN 100"),
        ("[Size]", "BETWEEN 40 AND 42"),
        ("[Audiences]", "EQUALS high value"),
        ("[Audiences]", "PROVIDED"),
        ("[Birthday]", "BEFORE 2000-03-01"),
        ("[Country]", "EQUALS Belgium"),
        ("CampaignOpened", "0123456789abcdef"),
    ],
)
def test_rules_that_mara_meets(rule_type, clause):
    assert meets(rule_type, clause)


@pytest.mark.parametrize(
    ("rule_type", "clause"),
    [("Name", "NOT_PROVIDED"), ("[City]", "EQUALS Gh"), ("[Audiences]", "NOT_EQUALS buyers"),
     ("[Size]", "EQUALS 4"), ("[Birthday]", "AFTER 2000-02-29")],
)  # fmt: skip
def test_rules_that_she_does_not_meet(rule_type, clause):
    assert not meets(rule_type, clause)


def test_without_a_value_only_negations_hold():
    assert meets("[City]", "NOT_PROVIDED", NOBODY)
    assert meets("[Audiences]", "NOT_EQUALS buyers", NOBODY)
    assert not meets("[Size]", "LESS_THAN 100", NOBODY)


@pytest.mark.parametrize(
    ("rule_type", "clause", "code"),
    [
        ("", "EQUALS x", 2704),
        ("Colour", "EQUALS x", 2705),
        ("[Gone]", "EQUALS x", 2705),
        ("Name", " ", 2710),
        ("Name", "BEFORE 2020-01-01", 2712),
        ("EmailAddress", "PROVIDED", 2713),
        ("DateSubscribed", "CONTAINS 2020", 2714),
        ("[City]", "LIKES x", 2715),
        ("[Size]", "CONTAINS 4", 2716),
        ("[Audiences]", "CONTAINS buy", 2717),
        ("[Birthday]", "GREATER_THAN 2000-01-01", 2718),
        ("Name", "EQUALS", 2719),
        ("[Birthday]", "BEFORE 1 March", 2720),
        ("[Size]", "EQUALS many", 2721),
        ("[Audiences]", "EQUALS sellers", 2722),
        ("DateSubscribed", "AFTER 2016-12-31", 2723),
        ("[Birthday]", "BETWEEN 2000-01-01 AND soon", 2755),
        ("[Size]", "BETWEEN 1 OR 2", 2756),
    ],
)
def test_wrong_rules(rule_type, clause, code):
    with pytest.raises(RuleError) as refused:
        parse(rule_type, clause)
    assert refused.value.code == code


def test_campaign_rules_are_checked_by_whoever_knows_campaigns():
    with pytest.raises(RuleError) as refused:
        parse_rule("CampaignClickedSpecific", "id http://x", FIELDS, 2026, lambda _kind, _operands: 2753)
    assert refused.value.code == 2753


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1), st.text())
def test_a_text_rule_and_its_negation_are_opposites(operand, value):
    subject = Subject("a@b.cd", "", "2020-01-01", ((1, value),) if value else ())
    for verb in ("EQUALS", "CONTAINS"):
        assert meets("[City]", f"{verb} {operand}", subject) != meets("[City]", f"NOT_{verb} {operand}", subject)
