"""Where reading begins, and when the process must refuse to."""

import pytest

from streams.batches import WrongPosition
from streams.batches.changelog import STATE_HEADER, Plan, blob_of, plan_restore
from streams.batches.positions import Start, start_position, topic_metadata
from streams.batches.rows import decode_blob
from streams.batches.store import Checkpoint

HERE = topic_metadata(7)


def start(committed: tuple[int, str] | None, first: int = 10, end: int = 100) -> Start:
    return start_position("t", 3, committed, first, end, 7)


def test_the_committed_offset_is_where_it_begins() -> None:
    assert start((50, HERE)) == Start(50)
    assert start((100, HERE)) == Start(100)
    assert start((50, "")) == Start(50), "offsets committed by other means carry no metadata"


def test_without_one_it_begins_with_the_first_record() -> None:
    assert start(None) == Start(10)


def test_records_removed_by_retention_are_counted() -> None:
    assert start((4, HERE)) == Start(10, lost=6)


def test_g8_an_offset_behind_the_end_is_refused() -> None:
    with pytest.raises(WrongPosition, match=r"t\[3\].*101.*ends at 100"):
        start((101, HERE))


def test_g8_an_offset_of_an_earlier_topic_is_refused_even_when_it_would_fit() -> None:
    with pytest.raises(WrongPosition, match=r"made anew since offset 50"):
        start((50, topic_metadata(6)))


@pytest.mark.parametrize(
    ("checkpoint", "plan", "begin"),
    [
        (None, Plan.REBUILD, 10),
        (Checkpoint(7, 50), Plan.RESUME, 50),
        (Checkpoint(7, 100), Plan.RESUME, 100),
        (Checkpoint(7, 10), Plan.RESUME, 10),
        (Checkpoint(7, 101), Plan.REBUILD, 10),  # C13, G6: the store is ahead
        (Checkpoint(7, 9), Plan.REBUILD, 10),
        (Checkpoint(6, 50), Plan.REBUILD, 10),  # the changelog was deleted and made anew
    ],
)
def test_what_a_local_store_is_worth(checkpoint: Checkpoint | None, plan: Plan, begin: int) -> None:
    found = plan_restore(checkpoint, 7, 10, 100)
    assert (found.plan, found.start) == (plan, begin)
    assert bool(found.reason) == (plan is Plan.REBUILD)


def test_public_records_become_blobs_with_their_hidden_state() -> None:
    assert decode_blob(blob_of(b"v", [("x", b"y"), (STATE_HEADER, b"h")], public=True) or b"") == (b"v", b"h")
    assert decode_blob(blob_of(b"v", None, public=True) or b"") == (b"v", b"")
    assert decode_blob(blob_of(None, [(STATE_HEADER, b"h")], public=True) or b"") == (None, b"h")
    assert blob_of(None, None, public=True) is None
    assert blob_of(None, None, public=False) is None
    assert blob_of(b"blob", None, public=False) == b"blob"
