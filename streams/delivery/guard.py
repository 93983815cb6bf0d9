"""The removal guard: a job whose removals would take away too large a share of its people waits for a person.

A broken audience upstream looks like everybody leaving at once. Removals are counted over a window, against the
people that the list held when it began; below a minimum nothing is stopped, so small lists stay usable. Counted by
each worker over its own partitions, which are an even sample of all people.
"""

from collections import deque
from collections.abc import Callable

from streams.domain.exports import ListView
from streams.domain.sending import Waiting

# How often a removal that is held back asks again; a confirmed job is looked at once anyway.
LOOK_AGAIN_SECONDS = 15.0


class Guard:
    """Counts one list's removals."""

    def __init__(
        self,
        listed: Callable[[], ListView | None],
        people: Callable[[], int],
        *,
        window_seconds: float = 3600.0,
        minimum: int = 100,
        tripped: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`people`: how many of this worker's partitions the list holds for us now."""
        self._listed = listed
        self._people = people
        self._window = window_seconds
        self._minimum = minimum
        self._tripped = tripped
        self._removals: deque[float] = deque()
        self.holding = False

    def holds(self, waiting: Waiting, now: float) -> float | None:
        """Return after how many seconds a removal may ask again, or None when it may go. Counts each person once."""
        share = self._share()
        if share is None or waiting.let_through:
            self.holding = self.holding and share is not None
            return None
        while self._removals and self._removals[0] < now - self._window:
            self._removals.popleft()
        removed = len(self._removals)
        people = self._people() + removed
        if removed + 1 <= self._minimum or removed + 1 <= share * people:
            self._removals.append(now)
            waiting.let_through = True
            self.holding = False
            return None
        if not self.holding:
            self.holding = True
            self._tripped(
                f"{removed} of {people} people were removed within {self._window / 3600:g} h, and more wait: more than "
                f"the share of {share:.0%} that the job allows. Look at the audiences, then confirm the removals"
            )
        return LOOK_AGAIN_SECONDS

    def _share(self) -> float | None:
        """The smallest share among the running jobs that have not been confirmed; None: nothing is guarded."""
        listed = self._listed()
        if listed is None:
            return None
        shares = [view.job.removal_guard for view in listed.running if not view.job.removals_confirmed]
        least = min(shares, default=1.0)
        return None if least >= 1.0 else least
