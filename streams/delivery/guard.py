"""The removal guard: a job whose removals would take away too large a share of its people waits for a person.

A broken audience upstream looks like everybody leaving at once. Removals are counted over a window, against the
people that the list held when it began; below a minimum nothing is stopped, so small lists stay usable. Counted by
each worker over its own partitions, which are an even sample of all people.
"""

from collections import deque
from collections.abc import Callable

from streams.delivery.parcel import Settled
from streams.domain.exports import ListView
from streams.domain.settlement import Carried

# How often a removal that is held back asks again; a confirmed job is looked at once anyway.
LOOK_AGAIN_SECONDS = 15.0


class Guard:
    """Counts one list's people and removals."""

    def __init__(
        self,
        listed: Callable[[], ListView | None],
        *,
        window_seconds: float = 3600.0,
        minimum: int = 100,
        tripped: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._listed = listed
        self._window = window_seconds
        self._minimum = minimum
        self._tripped = tripped
        self._let_through: deque[float] = deque()
        self.exported = 0
        """People of this worker's partitions that the list holds for us."""
        self.holding = False

    def holds(self, carried: Carried, now: float) -> float | None:
        """Return after how many seconds a removal may ask again, or None when it may go."""
        share = self._share()
        if share is None:
            self.holding = False
            return None
        while self._let_through and self._let_through[0] < now - self._window:
            self._let_through.popleft()
        removed = len(self._let_through)
        people = self.exported + removed
        if removed + 1 <= self._minimum or removed + 1 <= share * people:
            self._let_through.append(now)
            self.holding = False
            return None
        if not self.holding:
            self.holding = True
            self._tripped(
                f"{removed} of {people} people were removed within {self._window / 3600:g} h, and more wait: more than "
                f"the share of {share:.0%} that the job allows. Look at the audiences, then confirm the removals"
            )
        return LOOK_AGAIN_SECONDS

    def settled(self, it: Settled, now: float) -> None:
        """Count a person who was written or removed."""
        if it.refusal is not None:
            return
        if it.carried.wanted.present:
            self.exported += it.carried.new
        else:
            self.exported = max(0, self.exported - 1)

    def _share(self) -> float | None:
        """The smallest share among the running jobs that have not been confirmed; None: nothing is guarded."""
        listed = self._listed()
        if listed is None:
            return None
        shares = [view.job.removal_guard for view in listed.running if not view.job.removals_confirmed]
        least = min(shares, default=1.0)
        return None if least >= 1.0 else least
