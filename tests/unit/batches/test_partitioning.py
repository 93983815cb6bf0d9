"""What is compiled places keys as Kafka's clients do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batches.partitioning import in_python, partition_of


@given(st.binary(max_size=80), st.integers(1, 1000))
def test_any_key_has_the_same_place(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == in_python(key, partitions)


def test_a_topic_has_partitions() -> None:
    with pytest.raises(ZeroDivisionError):
        partition_of(b"k", 0)
