# ruff: noqa: N818 - the names say what happened
"""What can go wrong, and what follows from it.

    BatchError
    +-- TransientError      the same batch is tried again, after a back-off
    |   +-- NotDelivered    the broker did not acknowledge in time; nothing was settled
    +-- PoisonRecord        one record is dead-lettered, the rest of its batch goes on
    |   +-- RowTooLarge     the row that a record asks for would not fit into the changelog
    +-- Revoked             the partition is no longer ours: the attempt is given up, nothing is acknowledged
    +-- FatalError          the process ends with a message and the position where it was
        +-- WrongTopic      a topic is missing, or is not what the application needs (exit code 78)
        +-- WrongPosition   committed or remembered offsets do not fit the topic (exit code 78)
        +-- StoreLocked     another process has the state directory open (exit code 78)

Any other exception out of an agent is taken for a defect of the code on these records: the batch is cut in halves until
the records that raise stand alone; those are dead-lettered.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How a process of this package ends; a supervisor restarts on every code but 0 and 78."""

    CLEAN = 0
    FATAL = 70  # EX_SOFTWARE: an agent said FatalError, or a service of Faust crashed
    STALLED = 71  # the watchdog: readable records wait and the committed offset stands still
    PAUSED = 72  # the process was stopped for longer than its leases live (SIGSTOP, a frozen machine)
    RECOVERY = 73  # the changelog could not be restored before the deadline, or no progress was seen
    STORE = 74  # EX_IOERR: the local store cannot be written (disk full, I/O error)
    STOP_TIMEOUT = 75  # a clean stop took longer than its budget
    CONFIGURATION = 78  # EX_CONFIG: topics, offsets or directories need a human; a restart would not help


class BatchError(Exception):
    """Root of this package's exceptions."""


class TransientError(BatchError):
    """Something outside does not answer right now; the batch is tried again.

    `after_seconds` is the least wait that the other side asked for.
    """

    def __init__(self, message: str, *, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class NotDelivered(TransientError):
    """The broker did not acknowledge a record in time; it may or may not have been written."""


class PoisonRecord(BatchError):
    """This record can never be processed.

    Raised by an agent with the offset of the record; raised by a fold without one, the fold knows it.
    """

    def __init__(self, reason: str, *, offset: int | None = None, stage: str = "fold") -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.stage = stage


class RowTooLarge(PoisonRecord):
    """The encoded row exceeds `max_row_bytes`; sizes are in the reason."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"row of {size} bytes exceeds the limit of {limit} bytes", stage="row-size")
        self.size = size
        self.limit = limit


class DamagedRow(ValueError):
    """A row of the store or the changelog is none that this table has written; the text says which, and why.

    Not a BatchError: the records that need the row are taken for a defect, and are dead-lettered with this sentence.
    """


class Revoked(BatchError):
    """The partition was revoked, or assigned again with a newer generation, since the caller looked."""


class FatalError(BatchError):
    """The process must not go on; a supervisor restarts it. The batch in work stays unacknowledged."""

    exit_code: ExitCode = ExitCode.FATAL


class WrongTopic(FatalError):
    """A topic is missing or differs from what is needed: topic, found, wanted are in the message."""

    exit_code = ExitCode.CONFIGURATION


class WrongPosition(FatalError):
    """A committed or remembered offset lies outside of its topic: records were removed, or the topic was made anew."""

    exit_code = ExitCode.CONFIGURATION


class StoreLocked(FatalError):
    """Another process holds the state directory."""

    exit_code = ExitCode.CONFIGURATION


class StoreFailed(FatalError):
    """The local store cannot be written."""

    exit_code = ExitCode.STORE


class RecoveryFailed(FatalError):
    """The changelog could not be restored in time."""

    exit_code = ExitCode.RECOVERY
