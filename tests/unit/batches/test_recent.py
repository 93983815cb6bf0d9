"""Repeated event ids are recognised inside the window, whatever was encoded in between."""

from hypothesis import given
from hypothesis import strategies as st

from streams.batches import RecentIds

DAY = 86_400


def test_a_repeated_id_is_recognised_after_a_round_trip() -> None:
    ids = RecentIds()
    assert ids.add("event-1", 1_700_000_000)
    ids = RecentIds(ids.encode())
    assert not ids.add("event-1", 1_700_000_000 + 7 * DAY)
    assert "event-1" in ids
    assert b"event-1" in ids


def test_ids_older_than_the_window_are_not_written() -> None:
    ids = RecentIds(window_seconds=8 * DAY)
    ids.add("old", 1_700_000_000)
    ids.add("new", 1_700_000_000 + 8 * DAY + 1)
    assert len(RecentIds(ids.encode())) == 1
    assert ids.forgotten_early == 0


def test_what_the_cap_pushes_out_inside_the_window_is_counted() -> None:
    ids = RecentIds(cap=10)
    for number in range(15):
        assert ids.add(str(number), 1_700_000_000 + number)
    assert len(ids) == 10
    assert ids.forgotten_early == 5
    assert "14" in ids
    assert "0" not in ids


def test_expired_ids_make_room_without_being_counted_as_early() -> None:
    ids = RecentIds(cap=5, window_seconds=10)
    for number in range(50):
        ids.add(str(number), 1_700_000_000 + number * 5)
    assert ids.forgotten_early == 0


def test_times_out_of_range_do_not_break_the_encoding() -> None:
    ids = RecentIds()
    ids.add("before", -5)
    ids.add("after", 10**12)
    assert len(RecentIds(ids.encode())) >= 1


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(0, 8 * DAY)), max_size=60), st.integers(1, 10))
def test_inside_window_and_cap_it_is_a_set(events: list[tuple[str, int]], every: int) -> None:
    seen: set[str] = set()
    ids = RecentIds()
    for number, (name, at) in enumerate(events):
        assert ids.add(name, at) == (name not in seen)
        seen.add(name)
        if number % every == 0:
            ids = RecentIds(ids.encode())
