"""When another request of a list gets ready: as many as may be on the wire, and one more where people fill it."""

from collections.abc import Collection, Sequence

from connectors.campaign_monitor.limits.limiter import Limiter
from streams.delivery.gate import Gate
from streams.delivery.wire import Passage, Wire
from streams.domain.sending import Pick, Queue


class Picker:
    """Picks for one list."""

    def __init__(self, list_id: str, queue: Queue, gate: Gate, wire: Wire, limiter: Limiter) -> None:
        self._list_id = list_id
        self._queue = queue
        self._gate = gate
        self._wire = wire
        self._limiter = limiter

    def next(self, now: float, open_: Collection[Passage]) -> Pick | None:
        """Return who goes next beside the requests that are open, or None."""
        if self._gate.closed(now):
            return None
        most = 1 if self._gate.troubled else self._wire.most
        ahead = [it for it in open_ if not it.answered]
        if len(open_) - len(ahead) > most:
            return None  # answers that cannot be written yet: no more of them
        background = self._wire.most_background - sum(not it.live for it in ahead)
        if most > len(ahead) and (self._limiter.free(self._list_id) or self._limiter_ready(ahead)):
            free = most - len(ahead)
            pick = self._queue.pick(now, free, min(free, background))
            if pick is not None:
                return pick
        return None if self._gate.troubled or len(ahead) > most else self._next_ahead(now, background)

    def _next_ahead(self, now: float, background: int) -> Pick | None:
        """Whoever fills a request gets ready while the wire is taken; a smaller one goes on growing meanwhile."""
        if self._limiter.waiting or self._limiter.pause_left() > 0:
            return None
        if self._queue.fills(True):
            return self._queue.pick(now, 1, 0)
        if self._wire.most > 1 and background >= 0 and self._queue.fills(False):
            return self._queue.pick(now, 0, 1)
        return None

    def _limiter_ready(self, ahead: Sequence[Passage]) -> bool:
        """Whether our own requests are what fills the limiter: they have not reached it, or are about to leave it."""
        return not self._limiter.waiting and self._limiter.pause_left() == 0 and not ahead
