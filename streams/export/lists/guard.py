"""The removal guard: a job whose removals would take away too large a share of its people waits for a person.

A broken audience upstream looks like everybody leaving at once. Removals are counted over a window, against the
people that the list held when it began; below a minimum nothing is stopped, so small lists stay usable. Counted by
each worker over its own partitions, which are an even sample of all people.
"""

from collections import deque

from streams.export.sending.queue import QueuedPerson
from streams.export.settings import ExportSettings
from streams.export.state import ExportState

# How often a removal that is held back is tried again; a confirmed job is looked at once anyway.
RETRY_SECONDS = 15.0


class RemovalGuard:
    """Counts one list's removals."""

    def __init__(self, list_id: str, state: ExportState, settings: ExportSettings) -> None:
        self._list_id = list_id
        self._state = state
        self._window = settings.guard_window_seconds
        self._minimum = settings.guard_minimum
        self._removals: deque[float] = deque()
        self._holding = False
        self._warning: str | None = None

    def wait_seconds(self, person: QueuedPerson, now: float) -> float | None:
        """Return after how many seconds a removal may be tried again, or None when it may go.

        Counts each person once.
        """
        share = self._share()
        if share is None or person.removal_counted:
            self._holding = self._holding and share is not None
            return None
        while self._removals and self._removals[0] < now - self._window:
            self._removals.popleft()
        removed = len(self._removals)
        people = self._state.people_on(self._list_id) + removed
        if removed + 1 <= self._minimum or removed + 1 <= share * people:
            self._removals.append(now)
            person.removal_counted = True
            self._holding = False
            return None
        if not self._holding:
            self._holding = True
            self._warning = (
                f"{removed} of {people} people were removed within {self._window / 3600:g} h, and more wait: more than "
                f"the share of {share:.0%} that the job allows. Look at the audiences, then confirm the removals"
            )
        return RETRY_SECONDS

    def take_warning(self) -> str | None:
        """Return, once, what a person has to do since removals began to be held back; None when there is nothing."""
        warning, self._warning = self._warning, None
        return warning

    def _share(self) -> float | None:
        """The smallest share among the running jobs that have not been confirmed; None: nothing is guarded."""
        listed = self._state.listed(self._list_id)
        if listed is None:
            return None
        shares = [view.job.removal_guard for view in listed.running if not view.job.removals_confirmed]
        smallest = min(shares, default=1.0)
        return None if smallest >= 1.0 else smallest
