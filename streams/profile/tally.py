"""What folding a batch comes to beside the rows, and where that goes."""

from dataclasses import dataclass, field

from streams.batches import Output

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Topics:
    """Where outputs go, by their names in use; None: they are not told.

    `memberships` tells the export's table of erasures.
    """

    moves: str
    erasures: str
    changes: str | None = None
    memberships: str | None = None


@dataclass(slots=True)
class Tally:
    """What folding a batch came to, beside the rows."""

    partition: int
    outputs: list[Output] = field(default_factory=list)
    unconvertible: list[str] = field(default_factory=list)
    """Fields whose values could not become their kind."""
    repeated: int = 0
    forgotten_early: int = 0
    forwarded: int = 0
    dropped_erased: int = 0
    frozen: set[str] = field(default_factory=set)
    """Moves whose rows were frozen in this batch: that is not durable yet."""
