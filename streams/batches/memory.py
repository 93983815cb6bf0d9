"""How the process takes memory from glibc: from one heap, and without giving it back and taking it again.

Each thread otherwise gets a heap of its own (up to eight a core), and what the consumer's, the producer's and the
store's threads free there is of no use to the others: with the default mappings that was a tenth of a worker's peak.
Most is allocated by one thread, so sharing the heap was not seen to cost speed.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT_BYTES = 128 << 20
"""Free memory at the heap's end beyond this is given back."""
_MAPPED_BYTES = 4 << 20
"""Pieces from this size on are mapped by themselves: a fetch's, not a row's."""


def use_one_heap() -> None:
    """Set glibc's allocator up; before threads start. Another C library is left as it is."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for option, value in ((_M_ARENA_MAX, 1), (_M_TRIM_THRESHOLD, _KEPT_BYTES), (_M_MMAP_THRESHOLD, _MAPPED_BYTES)):
        mallopt(option, value)
