"""Rows of one person, under several addresses, that become one."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from streams.export.rules.membership import MembershipEvent, fold
from streams.export.rules.row import ENTER, EXIT, MembershipRow
from streams.export.rules.tenures import begin_tenure, fold_tenure
from streams.export.rules.transfers import receive_transfer
from tests.unit.export.rules.rows import event

OLD, NEW = "old@example.com", "new@example.com"
CHANGED_AT = 5_000


class Stated(NamedTuple):
    """A change, or a snapshot of all."""

    audience: str | None
    enters: bool = True
    named: frozenset[str] = frozenset()

    def event(self, at: int) -> MembershipEvent:
        """Return it as an event."""
        if self.audience is None:
            return event(at=at, position=at)._replace(snapshot=self.named)
        return event((self.audience, ENTER if self.enters else EXIT, at), at=at, position=at)


_audience = st.sampled_from(["vip", "eu"])
_stated = st.one_of(
    st.builds(Stated, _audience, st.booleans()), st.builds(Stated, st.none(), st.just(True), st.frozensets(_audience))
)


def _inside(row: MembershipRow) -> dict[str, tuple[int, int]]:
    """Since when, and at the earliest, somebody is in audiences; of repeated first snapshots any of their times."""
    return {
        name: (min(entry.since, CHANGED_AT), entry.entered) for name, entry in row.audiences.items() if entry.inside
    }


@given(st.lists(_stated, max_size=4), st.lists(_stated, max_size=4))
def test_what_is_known_under_two_addresses_is_what_one_row_would_know(
    before: list[Stated], after: list[Stated]
) -> None:
    earlier = [stated.event(1_000 + number) for number, stated in enumerate(before)]
    later = [stated.event(CHANGED_AT + number) for number, stated in enumerate(after)]
    former, present, one = MembershipRow(), MembershipRow(), MembershipRow()
    begin_tenure(present, CHANGED_AT)
    for change in earlier:
        fold(former, change)
    for change in later:
        fold(present, change)
        fold_tenure(present, change)
    for change in [*earlier, *later]:
        fold(one, change)
    receive_transfer(present, NEW, OLD, CHANGED_AT, former)
    assert _inside(present) == _inside(present.tenures[-1][1]) == _inside(one)
