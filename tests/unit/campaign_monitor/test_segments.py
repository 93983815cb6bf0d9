"""A segment per option: exactly that option, made once, renamed and repaired, never taken from somebody."""

import pytest

from connectors.campaign_monitor.client.entities import SegmentDetails, SegmentRef
from connectors.campaign_monitor.client.list_endpoints import RuleGroups
from connectors.campaign_monitor.errors.exceptions import ApiError, SegmentBusy, SegmentRejected, error_of
from connectors.campaign_monitor.segments import (
    EnsuredSegment,
    SegmentConflict,
    broken_rules,
    ensure_segment,
    rules_for_option,
    same_rules,
)

VIP = rules_for_option("[Audiences]", "vip")
VIP_EU = rules_for_option("[Audiences]", "vip-eu")


class FakeSegments:
    """Segments of one list."""

    def __init__(self, **held: tuple[str, RuleGroups]) -> None:
        self.held = dict(held)
        self.calls: list[str] = []
        self.create_error: ApiError | None = None
        self.meanwhile: dict[str, tuple[str, RuleGroups]] = {}

    async def segments(self, list_id: str) -> list[SegmentRef]:
        return [SegmentRef(list_id, key, title) for key, (title, _) in self.held.items()]

    async def details(self, segment_id: str) -> SegmentDetails:
        if segment_id not in self.held:
            raise error_of("GET", 400, b'{"Code":271}')
        title, rules = self.held[segment_id]
        return SegmentDetails("l", segment_id, title, 0, tuple(tuple(group) for group in rules))

    async def create(self, list_id: str, title: str, rule_groups: RuleGroups) -> str:
        self.calls.append(f"create {title}")
        self.held |= self.meanwhile
        if self.create_error:
            raise self.create_error
        self.held["made"] = (title, rule_groups)
        return "made"

    async def update(self, segment_id: str, title: str, rule_groups: RuleGroups) -> None:
        self.calls.append(f"update {segment_id} {title}")
        self.held[segment_id] = (title, rule_groups)


async def ensure(api: FakeSegments, title: str = "VIP", known: str | None = None) -> EnsuredSegment:
    return await ensure_segment(api, api, "l", title, VIP, known_id=known)


def test_rules_match_exactly_the_option() -> None:
    assert VIP == ((("[Audiences]", "EQUALS vip"),),)
    assert not same_rules(VIP, VIP_EU)
    assert same_rules(VIP, [[("audiences", " equals  vip ")]])
    assert not same_rules(VIP, [[("[Audiences]", "EQUALS VIP")]])
    assert not same_rules(VIP, [[("[Audiences]", "CONTAINS vip")]])
    assert not same_rules(VIP, [*VIP, *VIP_EU])
    assert not same_rules([[*VIP[0], *VIP_EU[0]]], [*VIP, *VIP_EU]), "OR is not AND"
    assert same_rules([*VIP, *VIP_EU], [*VIP_EU, *VIP])


async def test_it_is_created_once() -> None:
    api = FakeSegments()
    assert await ensure(api) == EnsuredSegment("made", "created")
    assert await ensure(api) == await ensure(api, known="made") == EnsuredSegment("made", "unchanged")
    assert api.calls == ["create VIP"]


async def test_ours_is_renamed_repaired_and_made_again() -> None:
    api = FakeSegments(s1=("Old name", VIP))
    assert await ensure(api, known="s1") == EnsuredSegment("s1", "renamed")
    api.held["s1"] = ("VIP", VIP_EU)
    assert await ensure(api, known="s1") == EnsuredSegment("s1", "repaired")
    assert api.held["s1"] == ("VIP", VIP)
    del api.held["s1"]
    assert await ensure(api, known="s1") == EnsuredSegment("made", "created")


async def test_somebody_elses_segment_is_not_touched() -> None:
    api = FakeSegments(s1=("VIP", VIP_EU))
    with pytest.raises(SegmentConflict, match="'VIP' with other rules"):
        await ensure(api)
    assert api.calls == []


async def test_a_duplicate_title_is_looked_up_again() -> None:
    api = FakeSegments()
    api.create_error = error_of("POST", 400, b'{"Code":275}')
    api.meanwhile = {"s9": ("vip", VIP)}
    assert await ensure(api) == EnsuredSegment("s9", "unchanged")
    api = FakeSegments()
    api.create_error = error_of("POST", 400, b'{"Code":275}')
    with pytest.raises(SegmentRejected):
        await ensure(api)


@pytest.mark.parametrize(("code", "error"), [(278, SegmentBusy), (287, SegmentBusy), (283, SegmentRejected)])
async def test_other_troubles_are_passed_on(code: int, error: type[Exception]) -> None:
    api = FakeSegments()
    api.create_error = error_of("POST", 400, b'{"Code":%d}' % code)
    with pytest.raises(error):
        await ensure(api)


def test_the_reasons_of_277() -> None:
    body = (
        b'{"Code":277,"Message":"m","ResultData":[{"Subject":"[A]","Code":2703,"Message":"x",'
        b'"ClauseResults":[{"Clause":"EQUALS v","Code":2722,"Message":"y"}, 5]}]}'
    )
    rejected = error_of("POST", 400, body)
    assert isinstance(rejected, SegmentRejected)
    assert broken_rules(rejected) == [2703, 2722]
    rejected.result_data = "odd"
    assert broken_rules(rejected) == []
