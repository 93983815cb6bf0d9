"""A person is erased from the Memberships table: what was known of them goes, under this and every other address.

What their lists hold is not changed by this; upstream, where audiences come from, has to forget the person, too.
"""

from streams.domain.rows import Millis, Row


def erase(row: Row, at: Millis) -> tuple[str, ...]:
    """Empty the row, in place, and return the person's other addresses, whose owners are to be told the same.

    What is left is the time: changes of audiences dated up to then are stale, and do not bring the person back.
    Erasing an empty row returns nothing, so that addresses that point at each other come to an end.
    """
    ahead = (it[0] for it in (row.went_to, row.left) if it is not None)
    others = dict.fromkeys([*row.came_from, *([row.awaits] if row.awaits else ()), *ahead])
    forgotten = Row(snapshot_at=max(row.snapshot_at, at), source=row.source)
    for name in Row.__slots__:
        setattr(row, name, getattr(forgotten, name))
    return tuple(others)
