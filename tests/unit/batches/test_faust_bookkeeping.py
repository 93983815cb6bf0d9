"""faust-traps.md G1 to G3: what Faust's own bookkeeping makes of batches, pinned for the installed release.

It is why consume/offsets.py replaces it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from faust.transport.consumer import Consumer
from faust.types import TP
from intervaltree import IntervalTree


class _FaustNumbers(Consumer):
    """Faust's own bookkeeping, driven by hand."""

    def __init__(self) -> None:
        self._gap = defaultdict(IntervalTree)
        self._acked = defaultdict(list)
        self._acked_index = defaultdict(set)
        self._committed_offset = defaultdict(lambda: None)

    def acknowledge(self, tp: TP, offset: int) -> None:
        self._acked[tp].append(offset)
        self._acked_index[tp].add(offset)

    def _noop(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    _commit = _getmany = _new_topicpartition = _seek = _to_message = assignment = close = create_topic = _noop
    earliest_offsets = getmany = highwater = highwaters = key_partition = position = seek_to_committed = _noop
    seek_wait = subscribe = topic_partitions = _noop


async def test_trap_g1_fausts_numbers_for_batches_out_of_order_in_the_installed_release() -> None:
    faust, tp = _FaustNumbers(), TP("t", 0)
    faust._committed_offset[tp] = 100
    await faust._add_gap(tp, 100, 199)
    await faust._add_gap(tp, 200, 299)
    faust.acknowledge(tp, 299)
    assert faust._new_offset(tp) == 300, "batch 1 is lost at a kill; a release that differs must be read again"


async def test_trap_g1_in_order_faust_commits_batch_by_batch() -> None:
    faust, tp = _FaustNumbers(), TP("t", 0)
    faust._committed_offset[tp] = 100
    await faust._add_gap(tp, 100, 199)
    faust.acknowledge(tp, 199)
    assert faust._new_offset(tp) == 200


async def test_trap_g2_a_leftover_gap_commits_over_an_unfinished_batch() -> None:
    faust, tp = _FaustNumbers(), TP("t", 0)
    faust._committed_offset[tp] = 100
    faust._gap[tp].addi(150, 260)
    await faust._add_gap(tp, 100, 199)
    await faust._add_gap(tp, 200, 299)
    faust.acknowledge(tp, 199)
    assert faust._new_offset(tp) == 200
    faust._committed_offset[tp] = 200
    assert faust._new_offset(tp) == 300


async def test_trap_g3_faust_marks_nothing_before_the_off_by_one() -> None:
    faust, tp = _FaustNumbers(), TP("t", 0)
    faust._committed_offset[tp] = 100
    await faust._add_gap(tp, 100, 199)
    assert min(interval.begin for interval in faust._gap[tp]) == 101
