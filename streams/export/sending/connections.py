"""The authorizations with which one list is sent to, and what happens when one of them does not work.

A call is made with the authorization of a job that wants it. One that does not work stops its own jobs' people and no
others; with the last one that worked the list as a whole is blocked, and is probed by its circuit breaker. What a
person has to do is shown on the jobs that it concerns, and removed when an answer comes again, also what an earlier run
left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.limits.limiter import Limiter, Priority
from streams.export.lists.attention import WAITS, BlockedReports, note, reason_on
from streams.export.lists.fields import ListFields
from streams.export.recovery.read_back import RefusedRecords
from streams.export.rules.outcome import Blocked, RetryLater
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.plan import PlannedWrite
from streams.export.sending.writer import ListWriter
from streams.export.state import ExportState, OpenList
from streams.export.table import ExportRuntime

log = structlog.get_logger(__name__)

ADDS_THEM = "Who is not known to be on the list is added by its jobs alone: connect it again, or stop them"


@dataclass(frozen=True, slots=True)
class SenderContext:
    """What the senders of all lists share."""

    state: ExportState
    runtime: ExportRuntime
    rows: PartitionRows
    blocked: BlockedReports
    refused_records: RefusedRecords


@dataclass(frozen=True, slots=True)
class ListConnection:
    """What a sender needs of an authorization: calls are made with that of a job which wants them."""

    client_id: str
    apis: Mapping[Priority, CampaignMonitor]
    writers: Mapping[Priority, ListWriter]
    limiter: Limiter


class ListConnections:
    """One list's connections by authorization; at least one."""

    def __init__(
        self,
        opened: OpenList,
        state: ExportState,
        reports: BlockedReports,
        fields: ListFields,
        connections: dict[str, ListConnection],
    ) -> None:
        self.fields = fields
        self._list_id = opened.list_id
        self._breaker = opened.breaker
        self._blocked = opened.blocked
        self._state = state
        self._reports = reports
        self._connections = connections
        self._waiting: dict[str, str] = {}
        """By job: the authorization of another one that some of its people wait for."""
        self._answered: set[str] = set()
        """Authorizations that worked in this run: what an earlier run left on their jobs is removed."""

    @property
    def working(self) -> ListConnection:
        """A connection that works, as far as is known."""
        works = (name for name in self._connections if name not in self._blocked)
        return self._connections[next(works, next(iter(self._connections)))]

    def get(self, authorization: str) -> ListConnection | None:
        """Return the connection of an authorization; None while it has no credential."""
        return self._connections.get(authorization)

    def wait_until(self, authorization: str, now: float) -> float | None:
        """Return until when an authorization's people wait; None: a request may be made.

        While its account has to pause, others of the list take the slots. A single one waits at its limiter.
        """
        connection = self._connections.get(authorization)
        if connection is not None and self._others_work(authorization):
            pause = connection.limiter.pause_left()
            if pause > 0:
                return now + pause
        return self._blocked.wait_until(authorization, now)

    def fail(self, retry: RetryLater, authorization: str, now: float) -> None:
        """A request failed for a reason that concerns more than its subscribers; a rate limit, only its account."""
        if retry.scope != "account" or not self._others_work(authorization):
            self._breaker.record_failure(retry, now)

    # -- as one limiter: a request may be made while an authorization may be used

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn, with each authorization."""
        return min(connection.limiter.waiting for connection in self._connections.values())

    def free(self, list_id: str) -> int:
        """Return how many calls could start at once now."""
        return max(connection.limiter.free(list_id) for connection in self._connections.values())

    def pause_left(self) -> float:
        """Return the seconds until one of them may be used again."""
        return min(connection.limiter.pause_left() for connection in self._connections.values())

    def connect(self, authorization: str, connection: ListConnection) -> None:
        """Make calls with another authorization, too, or for another client."""
        self._connections[authorization] = connection

    def is_connected(self, authorization: str, client_id: str) -> bool:
        """Whether calls can be made with an authorization, for this client."""
        known = self._connections.get(authorization)
        return known is not None and known.client_id == client_id

    def expire_fields(self) -> None:
        """Read the list's fields again before the next request."""
        self.fields.expire()

    async def block(self, blocked: Blocked, authorization: str | None, now: float) -> None:
        """Wait for a person. None: the reason concerns the list, whoever calls."""
        if authorization is not None and self._others_work(authorization):
            is_new = self._blocked.block(authorization, now)
        else:
            is_new = self._breaker.block(blocked, now)
        if is_new:
            log.error("list blocked", list_id=self._list_id, authorization=authorization, why=blocked.why)
            await self._reports.report(self._list_id, blocked.why, authorization)

    async def show_waiting(self, writes: Sequence[PlannedWrite]) -> None:
        """Show on jobs whose own authorization works that some of their people wait for one that does not."""
        if not self._blocked:
            return
        of_job = self._authorizations()
        found = {
            job: write.state.desired.authorization
            for write in writes
            if write.state is not None and write.state.desired.authorization in self._blocked
            for job in write.state.desired.digests
            if of_job.get(job) not in (None, write.state.desired.authorization)
        }
        if not found.items() <= self._waiting.items():
            self._waiting |= found
            await self._note_waiting()

    async def _note_waiting(self) -> None:
        texts = {job: note(WAITS, {name: ""}, ADDS_THEM) for job, name in self._waiting.items()}
        await self._reports.note(self._list_id, WAITS, texts)

    async def _end_waiting(self) -> None:
        used = self._used()
        still = {job: name for job, name in self._waiting.items() if name in self._blocked and name in used}
        if still != self._waiting:
            self._waiting = still
            await self._note_waiting()

    async def resumed(self, authorization: str, attention: str | None) -> None:
        """A request was answered. `attention`: what the jobs show instead, for another reason."""
        list_blocked = self._breaker.record_success()
        was_blocked = self._blocked.record_success(authorization)
        await self._end_waiting()
        if not (list_blocked or was_blocked or authorization not in self._answered):
            return
        if not self._answered:
            await self._note_waiting()  # removes what an earlier run left
        self._answered.add(authorization)
        if list_blocked or was_blocked:
            log.info("list resumed", list_id=self._list_id, authorization=authorization)
        names = {name for name in self._used() if name not in self._blocked} if list_blocked else {authorization}
        for name in names:
            if list_blocked or was_blocked or name in self._with_attention():
                await self._reports.report(self._list_id, attention, name)

    def _others_work(self, authorization: str) -> bool:
        return any(name != authorization and name not in self._blocked for name in self._used())

    def _used(self) -> set[str]:
        return set(self._authorizations().values())

    def _authorizations(self) -> dict[str, str]:
        listed = self._state.listed(self._list_id)
        return {view.id: view.job.authorization_id for view in listed.running} if listed is not None else {}

    def _with_attention(self) -> set[str]:
        listed = self._state.listed(self._list_id)
        running = listed.running if listed is not None else ()
        return {view.job.authorization_id for view in running if reason_on(view.job)}
