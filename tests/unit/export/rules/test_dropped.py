"""What Campaign Monitor dropped, and what no longer counts as a difference then."""

from hypothesis import given
from hypothesis import strategies as st

from streams.export.rules.desired import DesiredSubscriber, DesiredValue
from streams.export.rules.dropped import ANY, LONG, ValueKind, differs, kinds_of, not_kept, noted
from streams.export.rules.settlement import WrittenState

DESIRED = DesiredSubscriber(
    "a@example.com",
    None,
    True,
    options=(("Lytics Audiences", ("VIP", "EU")),),
    values=(
        DesiredValue("Plan", "MultiSelectOne", ("pro",)),
        DesiredValue("Points", "Number", ("7",)),
        DesiredValue("Bio", "Text", ("\u00e9" * 126,)),
        DesiredValue("City", "Text", ()),
    ),
)
HELD = {
    "lyticsaudiences": {"EU", "VIP"},
    "plan": {"pro"},
    "points": {"7.0"},
    "bio": {"\u00e9" * 126},
}
KINDS = {
    ValueKind("lyticsaudiences", "VIP"),
    ValueKind("lyticsaudiences", "EU"),
    ValueKind("plan", "pro"),
    ValueKind("points", ANY),
    ValueKind("bio", LONG),
}


def test_each_option_and_field_is_a_kind_of_its_own() -> None:
    assert kinds_of(DESIRED) == KINDS
    assert not_kept(DESIRED, HELD) == set()
    assert not differs(DESIRED, HELD, frozenset())
    assert not_kept(DESIRED, {}) == KINDS


def test_what_nobody_asked_for_is_a_difference() -> None:
    assert differs(DESIRED, {**HELD, "lyticsaudiences": {"EU", "VIP", "new"}}, frozenset())
    assert differs(DESIRED, {**HELD, "city": {"Ghent"}}, frozenset())


@given(st.sets(st.sampled_from(sorted(KINDS))))
def test_what_is_dropped_is_named_and_no_difference(lost: set[ValueKind]) -> None:
    fields = {kind.field for kind in lost if kind.what in (ANY, LONG)}
    held = {
        field: {text for text in texts if field not in fields and ValueKind(field, text) not in lost}
        for field, texts in HELD.items()
    }
    assert not_kept(DESIRED, held) == lost
    assert differs(DESIRED, held, frozenset()) is bool(lost)
    assert not differs(DESIRED, held, frozenset(lost))
    state = noted(WrittenState(b"k", 0, "l", DESIRED, (), 0), frozenset(lost))
    assert len(state.desired.notes) == len(lost)
    assert noted(state, frozenset(lost)) == state
