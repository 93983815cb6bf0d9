"""What a start waits for: processes start beside the broker only where its data has every topic."""

import asyncio

import pytest

from schemas.topics import TOPICS, TopicNames
from streams.demo.startup import has_topics, side_by_side


@pytest.mark.parametrize("names", [TopicNames(), TopicNames("crm-", {"cm_user": "crm.subscribers"})])
def test_one_missing_topic_is_noticed(tmp_path, names):
    """As after an upgrade that brings a topic: a process that misses it would end before it is made."""
    for role in TOPICS:
        assert not has_topics(tmp_path, names)
        (tmp_path / f"{names[role]}-0").mkdir()
    assert has_topics(tmp_path, names)


async def test_the_first_that_fails_ends_the_others_and_is_the_one_that_is_reported():
    ended = asyncio.Event()

    async def waits():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fails():
        await asyncio.sleep(0)
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):
        await side_by_side(waits(), fails())
    assert ended.is_set()
