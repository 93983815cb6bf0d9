"""How RocksDB is set up: bounded memory, and cheap answers for keys that are not there."""

from __future__ import annotations

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, WriteBufferManager


class StoreOptions:
    """RocksDB options of all stores of a process; they share one bounded block cache, and one bound on memtables."""

    def __init__(self, block_cache_bytes: int, write_buffer_bytes: int, write_buffers_bytes: int) -> None:
        self._cache = Cache(block_cache_bytes)
        self._buffers = WriteBufferManager(write_buffers_bytes, False)
        self._write_buffer_bytes = write_buffer_bytes

    def rows(self) -> Options:
        """Point reads of keys that are often absent: bloom filters, filters in the bounded cache."""
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_atomic_flush(True)
        options.set_write_buffer_manager(self._buffers)
        table = BlockBasedOptions()
        table.set_bloom_filter(10, False)
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_block_size(4096)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(self._write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(256)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1 << 20)
        options.set_stats_dump_period_sec(0)
        return options

    def small(self) -> Options:
        """Index and checkpoint: little data."""
        options = Options(raw_mode=True)
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(max(1 << 20, self._write_buffer_bytes // 4))
        options.set_max_write_buffer_number(2)
        return options
