"""Rows are kept where they are asked for again, within bounds, and never lent twice."""

from streams.batches import Row
from streams.batches.cache import SAMPLE, WINDOW, RowCache

Data = dict[str, object]


def row(key: bytes, size: int = 100) -> Row[Data]:
    return Row(key, {}, {}, exists=True, size=size)


def visit(cache: RowCache[Data], numbers: range) -> int:
    """Take each key as a fold does, put it back; the number that the cache had."""
    found = 0
    for number in numbers:
        key = b"%d" % number
        kept = cache.take(key)
        found += kept is not None
        cache.put(kept or row(key))
    return found


def test_a_row_that_was_taken_is_not_lent_again() -> None:
    cache: RowCache[Data] = RowCache(10, 10_000)
    cache.put(row(b"a"))
    assert cache.take(b"a") is not None
    assert cache.take(b"a") is None


def test_rows_and_bytes_are_bounded() -> None:
    for cache in (RowCache[Data](100, 1 << 30), RowCache[Data](1 << 30, 100 * 100)):
        visit(cache, range(1000))
        assert len(cache) <= 101


def test_taking_rows_and_putting_them_back_drops_none() -> None:
    """Bytes of rows that were taken no longer count."""
    cache: RowCache[Data] = RowCache(1000, 1000 * 100)
    visit(cache, range(400))
    for _ in range(20):
        assert visit(cache, range(400)) == 400


def test_with_far_more_keys_than_room_only_a_sample_is_kept() -> None:
    cache: RowCache[Data] = RowCache(1000, 1 << 30)
    visit(cache, range(2 * WINDOW))
    assert cache.sampling
    visit(cache, range(WINDOW))
    assert len(cache) <= 1000 // SAMPLE + 1


def test_the_cache_says_which_rows_it_would_keep() -> None:
    cache: RowCache[Data] = RowCache(1000, 1 << 30)
    keys = [b"%d" % n for n in range(500)]
    assert all(cache.wants(key) for key in keys)
    visit(cache, range(2 * WINDOW))
    assert cache.sampling
    for key in keys:
        cache.put(Row(key, {}, {}, exists=True))
        assert (cache.take(key) is not None) == cache.wants(key)


def test_rows_are_kept_again_once_they_are_asked_for_again() -> None:
    cache: RowCache[Data] = RowCache(1000, 1 << 30)
    visit(cache, range(2 * WINDOW))
    assert cache.sampling
    for _ in range(6 * WINDOW // 500):
        visit(cache, range(500))
    assert not cache.sampling
    assert visit(cache, range(500)) == 500


def test_a_cold_start_with_few_keys_keeps_all_of_them() -> None:
    cache: RowCache[Data] = RowCache(10_000, 1 << 30)
    for _ in range(8):
        visit(cache, range(5000))
    assert not cache.sampling
    assert visit(cache, range(5000)) == 5000
