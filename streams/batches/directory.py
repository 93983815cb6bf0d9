"""One process for each state directory: a lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .errors import StoreLocked


class DirectoryLock:
    """Held from start to stop. RocksDB's own lock is one for each partition: two processes with different partitions
    would not notice each other until the next rebalance."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: int | None = None

    def acquire(self) -> None:
        """Make the directory where it is missing, and take it. Raises StoreLocked, which says what to change."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreLocked(
                f"the state directory {self._directory} cannot be written: {error.strerror}; set data_dir to a "
                "directory that this process may write"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise StoreLocked(
                f"the state directory {self._directory} is used by another process; give each process a data_dir of "
                "its own, or stop the other one"
            ) from error
        self._file = file

    def release(self) -> None:
        """Give it up; does nothing when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
