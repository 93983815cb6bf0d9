"""The rule of an option's segment: exactly that option."""

from connectors.campaign_monitor.errors.exceptions import SegmentRejected, error_of
from connectors.campaign_monitor.segments import broken_rules, refused_because, rules_for_option, same_rules

VIP = rules_for_option("[Audiences]", "vip")
VIP_EU = rules_for_option("[Audiences]", "vip-eu")


def test_rules_match_exactly_the_option() -> None:
    assert VIP == ((("[Audiences]", "EQUALS vip"),),)
    assert not same_rules(VIP, VIP_EU)
    assert same_rules(VIP, [[("audiences", " equals  vip ")]])
    assert not same_rules(VIP, [[("[Audiences]", "EQUALS VIP")]])
    assert not same_rules(VIP, [[("[Audiences]", "CONTAINS vip")]])
    assert not same_rules(VIP, [*VIP, *VIP_EU])
    assert not same_rules([[*VIP[0], *VIP_EU[0]]], [*VIP, *VIP_EU]), "OR is not AND"
    assert same_rules([*VIP, *VIP_EU], [*VIP_EU, *VIP])


def test_the_reasons_of_277() -> None:
    body = (
        b'{"Code":277,"Message":"m","ResultData":[{"Subject":"[A]","Code":2703,"Message":"x",'
        b'"ClauseResults":[{"Clause":"EQUALS v","Code":2722,"Message":"y"}, 5]}]}'
    )
    rejected = error_of("POST", 400, body)
    assert isinstance(rejected, SegmentRejected)
    assert broken_rules(rejected) == [2703, 2722]
    assert refused_because(rejected) == (
        "Invalid Segment Rules (277), Invalid Segment Clauses (2703), Option Doesnt Exist For Field (2722)"
    )
    rejected.result_data = "odd"
    assert broken_rules(rejected) == []
