"""A profile of which only the bytes are left is worth as much as a whole one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.identity import key_of
from streams.batches import Batch, Metrics, Row, Source, StoredRecord
from streams.batches.folding import seal, unseal
from streams.domain.mapping.catalog import Catalog, read_catalog
from streams.domain.mapping.fields import Fields
from streams.profile.agent import ProfileAgent
from streams.profile.fold import ProfileFold
from streams.profile.row import Profile, Ways
from streams.profile.tally import Topics
from tests.unit.profile.test_row import CODEC, SHAPE, counted
from tests.unit.profile.test_sabotage import LIMIT, Shelf
from tests.unit.profile.worlds import ARRIVED, CATALOG, activity

A, B = "a@x.com", "b@x.com"
COUNT_ALONE = read_catalog([("s.lql", "SELECT count(event) AS n FROM cm_activity INTO user BY email(email)")])
"""Its rows have nothing hidden, so that folding into a spent one raises nothing."""


@pytest.mark.parametrize("profile", [Profile(counted(1), b"i" * 12), Profile(Fields(SHAPE), b"", Ways())])
def test_a_spent_row_comes_back_as_it_was_sealed(profile: Profile) -> None:
    row = Row(b"k", profile, {5: (6, 7)}, exists=True)
    row.index = frozenset([b"i"])
    sealed = seal(row, CODEC, LIMIT)
    row.spend()
    assert row.data is None
    again = unseal(sealed, CODEC)
    assert (again.data, again.positions, again.exists, again.index) == (profile, row.positions, True, row.index)
    assert seal(again, CODEC, LIMIT)[1:] == sealed[1:]


async def folded(
    messages: Sequence[tuple[str, dict[str, Any]]], *, keeps: bool, limit: int = LIMIT, catalog: Catalog = CATALOG
) -> Any:
    """Rows, and the offsets that were refused, after one batch of (key, message)."""
    profiles = ProfileFold(catalog, Topics("moves", "erasures"))
    shelf = Shelf(profiles.codec, limit=limit, keeps=keeps)
    agent = ProfileAgent(shelf, profiles, Metrics(), partitions=1, max_row_bytes=limit)  # type: ignore[arg-type]
    records = [
        StoredRecord(n, key_of(key), json.dumps(message).encode(), ARRIVED) for n, (key, message) in enumerate(messages)
    ]
    batch = Batch(Source("cm_activity", 7), 0, records, generation=1)
    await agent.events(batch, profiles.streams["cm_activity"])
    return shelf.rows, [letter.record.offset for letter in batch.refused]


async def test_events_under_another_key_reach_a_profile_that_is_spent_already() -> None:
    told = [(B, activity(B, 1)), (A, activity(A, 2)), (A, activity(B, 3)), (A, activity(B, 4))]
    rows, refused = await folded(told, keeps=False)
    assert (json.loads(rows[key_of(B)][0])["cm_email_event"], refused) == ({"open": 3}, [])
    assert (rows, refused) == await folded(told, keeps=True)
    rows, _ = await folded(told, keeps=False, catalog=COUNT_ALONE)
    assert json.loads(rows[key_of(B)][0]) == {"n": 3}


async def test_a_profile_that_is_spent_and_then_too_large_loses_only_what_is_too_much() -> None:
    told = [(B, activity(B, 1)), (A, activity(A, 2)), (B, activity(B, 3, url="http://x/" + "u" * 3000))]
    rows, refused = await folded(told, keeps=False, limit=2500)
    assert refused == [2]
    assert {json.loads(value)["cm_email_event"]["open"] for value, _ in rows.values()} == {1}
    assert (rows, refused) == await folded(told, keeps=True, limit=2500)
