"""What counts as a loss of values, and what workers know together."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import CustomField
from streams.export.rules.field_history import FieldHistory, FieldMark, losses, marks_of, merged

SELECT = {"Groups": ("a", "b", "c")}
OPTIONS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


def marks(used: Any = ("groups",), *, visible: bool = False, kind: str = "MultiSelectMany", **fields: Any) -> Any:
    """Return the marks of fields by name and options."""
    found = [CustomField(name, f"[{name}]", kind, tuple(options), visible) for name, options in fields.items()]
    return marks_of(found, used)


@pytest.mark.parametrize(
    ("now", "needed", "loss"),
    [
        (marks(**SELECT), None, None),
        (marks(Groups="abcd"), None, None),
        (marks(Groups="dabc"), None, None),
        (marks(Groups="ac"), None, "1 options removed"),
        (marks(Groups="ac"), ["a", "c"], None),
        (marks(Groups="c"), ["a", "c", "new"], "1 options removed"),
        (marks(Groups="bca"), None, "options recreated, or moved"),
        (marks(Groups="bca"), ["b", "c"], None),
        (marks(), None, "deleted"),
        (marks(groups="abc"), None, "recreated, or edited"),
        (marks(kind="Text", Groups=""), None, "recreated, or edited"),
        (marks(visible=True, **SELECT), None, "recreated, or edited"),
    ],
)
def test_what_is_lost(now: Any, needed: Any, loss: str | None) -> None:
    found = losses(marks(**SELECT), now, {"groups": needed})
    assert found == ({} if loss is None else {"groups": loss})


def test_what_no_job_uses_is_not_lost() -> None:
    assert losses(marks(**SELECT), {}, {"other": None}) == {}


@given(OPTIONS, OPTIONS)
def test_a_loss_is_noticed_once(before: list[str], now: list[str]) -> None:
    then, after = marks(Groups=before), marks(Groups=now)
    kept = [option for option in now if option in before]
    assert bool(losses(then, after, {"groups": None})) == (kept != before)
    assert losses(after, after, {"groups": None}) == {}


@given(OPTIONS, st.integers(0, 6), st.integers(0, 6))
def test_workers_know_the_longer_of_two_looks(options: list[str], one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    early, late = FieldHistory(1, marks(Groups=options[:shorter])), FieldHistory(1, marks(Groups=options[:longer]))
    assert merged(early, late) == merged(late, early) == late


@given(OPTIONS, OPTIONS)
def test_what_two_workers_saw_is_known_to_both(one: list[str], other: list[str]) -> None:
    both = merged(FieldHistory(1, marks(Groups=one)), FieldHistory(1, marks(Groups=other)))
    assert set(both.fields["groups"].options) == set(marks(Groups={*one, *other})["groups"].options)


def test_the_later_loss_counts_and_is_stored_as_it_is() -> None:
    before, after = FieldHistory(1, marks(**SELECT)), FieldHistory(2, marks(Groups="a"))
    assert merged(before, after) == merged(after, before) == after
    assert FieldHistory.from_json(after.to_json()) == after
    assert isinstance(after.fields["groups"], FieldMark)
