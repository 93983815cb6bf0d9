"""A topic that takes no writes: nothing settles until it does, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from streams.batches import Output, PoisonRecord
from tests import kafka_io
from tests.deadline import eventually


@pytest.mark.parametrize("which", ["outputs", "dead letters"])
async def test_nothing_settles_while_a_topic_takes_no_writes(
    counting, all_rows, ended, kafka_admin, which: str
) -> None:
    outputs, letters = f"{counting.source}.out", f"{counting.source}.dlq"
    missing = {"outputs": outputs, "dead letters": letters}[which]
    if missing == letters:
        kafka_io.create_topic(counting.bootstrap_servers, outputs, 4)
        kafka_admin.delete_topics([letters])[letters].result()
        await eventually(lambda: letters not in kafka_admin.list_topics(timeout=10).topics)

    def fold(row: Any, records: Any) -> list[Output]:
        for record in records:
            if record.value == b"poison":
                raise PoisonRecord("poison")
        row.data["n"] = row.data.get("n", 0) + len(records)
        return [Output(outputs, record.key, record.value) for record in records]

    app, table = counting.app(fold=fold, message_timeout_seconds=1.0)
    await counting.produce([(b"k%d" % (n % 10), b"poison" if n < 10 else b"%d" % n) for n in range(110)])
    async with app.running():
        await eventually(lambda: app.metrics.total("batches_retries_total") >= 4)
        await app.runtime.consumer.commit()
        assert all(offset <= 0 for offset in await counting.committed())
        assert await all_rows(table) == {}, "rows come after what was to be sent"
        await asyncio.to_thread(kafka_io.create_topic, counting.bootstrap_servers, missing, 4)
        await app.settled(60)
        rows = await all_rows(table)
    assert {key: json.loads(data)["n"] for key, (data, _) in rows.items()} == {b"k%d" % n: 10 for n in range(10)}
    passed_on = await asyncio.to_thread(kafka_io.read_all, counting.bootstrap_servers, outputs)
    assert {record.value for record in passed_on} == {b"%d" % n for n in range(10, 110)}
    kept = await counting.dead_letters()
    assert {letter.key for letter in kept if letter.value == b"poison"} == {b"k%d" % n for n in range(10)}
    assert ended == []
