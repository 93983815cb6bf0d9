# ruff: noqa: N818 - the names are what happened
"""What can go wrong, and what follows from it.

    BatchError
    +-- TransientError      the same batch is retried, after a back-off
    |   +-- NotDelivered    the broker did not acknowledge in time; nothing was settled
    +-- PoisonRecord        one record is dead-lettered, the rest of its batch is processed
    |   +-- RowTooLarge     the row that a record asks for would not fit into the changelog
    +-- Revoked             the partition is no longer ours: the attempt is abandoned, nothing is acknowledged
    +-- FatalError          the process ends with a message and the position where it was
        +-- WrongTopic      a topic is missing, or is not what the application needs (exit code 78)
        +-- WrongPosition   committed or remembered offsets do not fit the topic (exit code 78)
        +-- CannotListen    an address is taken, or is none of this host's (exit code 78)
        +-- StoreLocked     another process has the state directory open (exit code 78)
        +-- StoreFailed     the local store cannot be read or written (exit code 74)
        +-- RecoveryFailed  the changelog could not be restored in time (exit code 73)

Any other exception out of an agent is taken for a defect of the code on these records: the batch is cut in halves until
each record that raises is alone; those are dead-lettered. OutputTooLarge is one of these on purpose.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """How a process of this package ends; a supervisor restarts on every code but 0 and 78."""

    CLEAN = 0
    FATAL = 70  # EX_SOFTWARE: an agent raised FatalError, or a service of Faust crashed
    STALLED = 71  # the watchdog: readable records wait and the committed offset does not move
    PAUSED = 72  # the process was stopped for longer than its leases live (SIGSTOP, a frozen machine)
    RECOVERY = 73  # the changelog could not be restored before the deadline, or no progress was seen
    STORE = 74  # EX_IOERR: the local store cannot be written (disk full, I/O error)
    STOP_TIMEOUT = 75  # a clean stop took longer than its budget
    CONFIGURATION = 78  # EX_CONFIG: topics, offsets or directories need a human; a restart would not help


class BatchError(Exception):
    """Root of this package's exceptions."""


class TransientError(BatchError):
    """Something outside does not answer right now; the batch is retried.

    `after_seconds` is the shortest wait that the other side requested.
    """

    def __init__(self, message: str, *, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class NotDelivered(TransientError):
    """The broker did not acknowledge a record in time; it may or may not have been written."""


class PoisonRecord(BatchError):
    """This record can never be processed.

    An agent raises it with the offset of the record, a fold without: there the record is known.
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


class OutputTooLarge(Exception):
    """A record that an agent wants to publish is larger than topics take; nothing of the batch was written.

    Not a BatchError: which of the records lead to it is found by halving the batch. A FatalError would end the process,
    and the next one would read the same record again.
    """

    def __init__(self, topic: str, size: int, limit: int) -> None:
        super().__init__(f"a record of {size} bytes for {topic} exceeds the limit of {limit} bytes")
        self.size = size
        self.limit = limit


class DamagedRow(ValueError):
    """A row of the store or the changelog was not written by this table; the message names it and the reason.

    Not a BatchError: the records that need the row are taken for a defect, and are dead-lettered with this sentence.
    """


class Revoked(BatchError):
    """The partition was revoked, or assigned again with a newer generation, since the caller looked."""


class FatalError(BatchError):
    """The process must end; a supervisor restarts it. The batch in work is not acknowledged."""

    exit_code: ExitCode = ExitCode.FATAL


class WrongTopic(FatalError):
    """A topic is missing or differs from what is needed: topic, found, wanted are in the message."""

    exit_code = ExitCode.CONFIGURATION


class WrongPosition(FatalError):
    """A committed or remembered offset lies outside of its topic: records were removed, or it was created again."""

    exit_code = ExitCode.CONFIGURATION


class CannotListen(FatalError):
    """An address that the process serves on cannot be listened on: address, cause and settings are in the message."""

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
