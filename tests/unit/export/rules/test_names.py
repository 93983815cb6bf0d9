"""Audiences' options: each its own, whatever their names are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.export.lists.segments import free_title, planned
from streams.export.rules.jobs import AudienceName, AudienceNames
from streams.export.rules.values import VALUE_LIMIT, distinct_texts, fold_text, units_of
from tests.unit.export.rules.rows import job, listed

NAMES = st.dictionaries(
    st.text(min_size=1, max_size=4) | st.text("x", min_size=240, max_size=250),
    st.sampled_from(["VIP", "vip", " VIP", "v", "", " ", "VIP (a)", "a||b", "x" * 250, "x" * 251, "É", "E\u0301"])
    | st.text(max_size=4),
    max_size=8,
)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        ({"a": "VIP", "b": "EU"}, {"a": "VIP", "b": "EU"}),
        ({"b": "VIP", "a": "VIP"}, {"a": "VIP", "b": "VIP (b)"}),
        ({"a": "Vip", "b": "VIP  ", "c": "\uff36IP"}, {"a": "Vip", "b": "VIP (b)", "c": "\uff36IP (c)"}),
        ({"a": "VIP", "b": "VIP", "c": "VIP (b)"}, {"a": "VIP", "b": "VIP (b 2)", "c": "VIP (b)"}),
        ({"a": " ", "b": ""}, {"a": "a", "b": "b"}),
        ({"a": "a || b"}, {"a": "a | | b"}),
    ],
)
def test_equal_names_get_their_id(names: dict[str, str], options: dict[str, str]) -> None:
    assert distinct_texts(names) == options


@given(NAMES)
def test_every_audience_has_an_option_of_its_own(names: dict[str, str]) -> None:
    options = distinct_texts(names)
    assert options.keys() == names.keys()
    assert len({fold_text(option) for option in options.values()}) == len(names)
    assert all(option == " ".join(option.split()) != "" for option in options.values())
    assert all(units_of(option) <= VALUE_LIMIT and "||" not in option for option in options.values())
    assert distinct_texts(dict(reversed(list(names.items())))) == options


@given(NAMES)
def test_every_audience_has_a_segment_of_its_own(names: dict[str, str]) -> None:
    known = AudienceNames({audience: AudienceName(name, 0) for audience, name in names.items()})
    jobs = listed(job(), job("job-2", segment_name="x" * 300), job("job-3", custom_field_name="Other"))
    plans = planned(jobs, known).values()
    assert len(plans) == 3 * len(names)
    assert len({fold_text(plan.title) for plan in plans}) == len(plans)


def test_an_option_follows_the_names() -> None:
    names = AudienceNames()
    assert names.option_of("b") == "b"
    names.merge("b", AudienceName("VIP", 1))
    assert names.option_of("b") == "VIP"
    names.merge("a", AudienceName("vip", 1))
    assert (names.option_of("a"), names.option_of("b")) == ("vip", "VIP (b)")
    names.merge("a", AudienceName("EU", 2, ("vip",)))
    assert (names.option_of("a"), names.option_of("b")) == ("EU", "VIP")


def test_a_title_that_others_have_gets_a_number() -> None:
    assert free_title("VIP", {"eu"}) == "VIP"
    assert free_title("VIP", {"vip", "vip (2)"}) == "VIP (3)"
    assert units_of(free_title("x" * 250, {"x" * 250})) <= 250
