"""A worker in memory against a simulated Campaign Monitor over HTTP: fast enough for random play."""

import asyncio
import selectors
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, Credential
from connectors.control.jobs import NO_EDIT
from connectors.devkit.simulator import Simulator, SimulatorSettings
from schemas.control import ExportJob
from schemas.topics import TopicNames
from streams.batches import Output
from streams.export.intake.agent import AudienceAgent, IntakeContext
from streams.export.intake.commands import RowChanges
from streams.export.lists.accounts import ExportAccounts, NoCredentialError
from streams.export.lists.attention import BlockedReports
from streams.export.lists.shared_state import SharedState
from streams.export.recovery.read_back import RefusedRecords
from streams.export.rules.jobs import AudienceNames
from streams.export.runner import ExportRunner
from streams.export.sending.connections import SenderContext
from streams.export.sending.direct_calls import MIN_PEOPLE
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.queue import IMPORT_LIMIT
from streams.export.settings import ExportSettings
from streams.export.state import ExportState
from streams.export.table import Clocks, ExportRuntime
from tests.unit.export.memory_runtime import Log, Process

SOURCE = "audience-membership"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


SPEED = 300.0
STEP_SECONDS = 0.03
"""The clock moves by so much at least, so that what is due at nearly the same time is done together."""
REAL_SECONDS = 0.001
"""Shorter waits are not made, but added up: what was sent over loopback arrives meanwhile."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # which selector it is depends on the system
    ahead = 0.0
    """Seconds by which the loop's clock is ahead of the real one."""
    _waits = 0.0
    """Real seconds that are still to be waited."""

    def select(self, timeout: float | None = None) -> Any:
        """Wait for a shorter time than the loop's clock means; where nothing happens, all of it has passed then."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        began, passes = time.monotonic(), max(timeout, STEP_SECONDS)
        self._waits += passes / SPEED
        real = self._waits if self._waits >= REAL_SECONDS else 0
        events = super().select(real)
        if real:
            self._waits = 0.0
        if not events:
            self.ahead += max(0.0, passes - (time.monotonic() - began))
        return events


# Whoever waits for longer waits until calls without an answer are over: that time is skipped, in pieces.
LONG_WAIT_SECONDS = 120.0
SKIPPED_SECONDS = 60.0


class FastLoop(asyncio.SelectorEventLoop):
    """`loop.time()` passes `SPEED` times as fast while nobody has anything to do: work on a busy machine takes no
    longer by this clock than on a quiet one, so that no call times out for it."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        """The loop's clock, in seconds of its own."""
        return time.monotonic() + self._waits.ahead

    def skip(self, seconds: float) -> None:
        """Let time pass at once, for everybody: only while no call is under way, which would time out."""
        self._waits.ahead += seconds


class Worker:
    """One run of the export worker; `stop` is a clean end, `crash` is none."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.process = Process(world.log, world.wall)
        loop = asyncio.get_running_loop()
        names = TopicNames()
        self.state = ExportState(names=AudienceNames(units=world.settings.value_units), partitions=world.log.partitions)
        self.shared = SharedState(names["cm_export-state"], self.process, self.state)
        settings = CampaignMonitorSettings(
            base_url=world.simulator.base_url,
            oauth_url=world.simulator.oauth_url,
            read_timeout_seconds=world.timeout_seconds,
        )
        settings = settings.model_copy(update={"import_timeout_seconds": world.timeout_seconds})
        self.accounts = ExportAccounts(settings, world.credential)
        runtime = ExportRuntime(
            self.process,
            self.process,
            self.process,
            self.process.receipts_of(names["audience-delivery"]),
            names,
            Clocks(loop.time, world.wall),
        )
        rows = PartitionRows(self.state, runtime, world.settings.late_call_seconds)
        refused_records = RefusedRecords(SOURCE, self.process.source_of(SOURCE), self.process.keep)
        blocked = BlockedReports(self.state, world.report_blocked)
        context = SenderContext(self.state, runtime, rows, blocked, refused_records)
        self.runner = ExportRunner(world.settings, self.shared, context, self.accounts, world.min_people)
        intake = IntakeContext(
            self.state,
            runtime,
            self.process,  # type: ignore[arg-type]  # offers what the agents use of a table
            self.shared,
            rows,
        )
        self.agent = AudienceAgent(
            intake,
            max_row_bytes=world.settings.max_row_bytes,
            import_size=world.import_size,
            min_people=world.min_people,
        )
        self.process.max_records = world.max_records
        self.changes = RowChanges(intake)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take all partitions over and run."""
        for record in self.world.log.read("cm_export-state"):
            self.shared.merge(record.key or b"", record.value)
        self.shared.set_jobs(self.world.jobs.values())
        for partition in range(self.world.log.partitions):
            await self.runner.assigned(partition, 1)
        services = (self.runner.run, self.runner.checkpoints, self.runner.transfers, self.runner.rechecks)
        self._tasks = [asyncio.create_task(service()) for service in services]

    async def consume(self) -> None:
        """Fold everything that is new."""
        while (
            await self.process.consume(SOURCE, self.agent)
            + await self.process.consume("cm_membership-commands", self.changes.commands)
            + await self.process.consume("cm_activity", self.changes.activity)
        ):
            pass

    async def rest(self, seconds: float = 1200.0) -> None:
        """Fold, send, and wait until nothing is left to do; `seconds` of the loop's clock."""
        await self.consume()
        loop = asyncio.get_running_loop()
        now = loop.time
        began, quiet = now(), 0
        while quiet < 3:
            if now() > began + seconds:
                raise AssertionError(f"not at rest: {self.describe()}")
            await asyncio.sleep(0.1)
            await self.consume()
            quiet = quiet + 1 if self.runner.idle() and self._all_open() else 0
            waits = not quiet and now() > began + LONG_WAIT_SECONDS
            if waits and isinstance(loop, FastLoop) and not self._in_flight():
                loop.skip(SKIPPED_SECONDS)

    def _in_flight(self) -> bool:
        """Whether a call may be under way."""
        segments = any(sender.segments.busy for sender in self.runner.senders.all())
        return segments or any(opened.queue.in_flight for opened in self.state.open.values())

    def _all_open(self) -> bool:
        lists = {list_id for list_id, listed in self.state.exports.lists.items() if listed.running}
        return lists <= self.state.open.keys()

    def describe(self) -> str:
        """What it is waiting for."""
        return "; ".join(f"{list_id}: {state}" for list_id, state in self.runner.summary().items())

    async def crash(self) -> None:
        """End now; nothing that is not acknowledged happens any more."""
        self.process.alive = False
        await self._end()

    async def stop(self) -> None:
        """End cleanly."""
        for partition in range(self.world.log.partitions):
            await self.runner.revoked(partition, self.process.generations[partition])
        await self._end()
        self.process.alive = False

    async def hand_over(self, partition: int) -> None:
        """Lose a partition, with calls under way, and take it over again."""
        await self.runner.revoked(partition, self.process.generations[partition])
        await self.runner.assigned(partition, await self.process.lose(partition))

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.accounts.close()


class World:
    """Everything that outlives a worker."""

    def __init__(self, simulator: Simulator, **settings: Any) -> None:
        self.simulator = simulator
        self.controls = simulator.controls
        self.log = Log()
        self.timeout_seconds = 5.0
        self.min_people = MIN_PEOPLE
        """From how many people on calls are made before their rows are written."""
        self.import_size = IMPORT_LIMIT
        """How many people of a batch are in one call."""
        self.max_records = 100
        """In a batch."""
        values = {"checkpoint_seconds": 1.0, "probe_seconds": 1.0, "fields_check_seconds": 5.0}
        self.settings = ExportSettings(_env_file=None, **{**values, **settings})
        self.client_id = self.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        self.list_id = self.controls.add_list(self.client_id, "Newsletter")
        self.jobs: dict[str, ExportJob] = {}
        self.attention: dict[str, str | None] = {}
        self.keys: dict[str, str] = {}
        """Keys by authorization that are not the simulator's."""
        self.missing: set[str] = set()
        """Authorizations that there are not."""
        self.ahead_ms = 0
        self.wall: Callable[[], int] = lambda: int(time.time() * 1000) + self.ahead_ms
        self.worker: Worker | None = None

    def at(self, seconds: float) -> None:
        """Set Campaign Monitor's clock and the worker's so many seconds after the day began; both then stop."""
        self.controls.clock(freeze=True, at=DAY.timestamp() + seconds)
        self.wall = lambda: int(self.controls.clock() * 1000)

    async def credential(self, authorization_id: str) -> Credential:
        """The authorization's key; the simulator's, unless a test sets another one."""
        if authorization_id in self.missing:
            raise NoCredentialError(f"there is no authorization {authorization_id}")
        return ApiKey(SecretStr(self.keys.get(authorization_id, self.simulator.api_key)))

    async def report_blocked(self, job_id: str, why: str | None) -> None:
        """Keep what a person has to do."""
        self.attention[job_id] = why
        if self.jobs[job_id].attention != why:
            self.change_job(job_id, attention=why)

    async def start(self) -> Worker:
        """Run a worker."""
        self.worker = Worker(self)
        await self.worker.start()
        return self.worker

    def slow_down(self, seconds: float) -> None:
        """Let calls take so long by the loop's clock; Campaign Monitor's goes by the real one."""
        self.controls.change_settings(latency_ms=seconds * 1_000 / SPEED)

    def pass_time(self, seconds: float) -> None:
        """Put the wall clock forward."""
        self.ahead_ms += int(seconds * 1000)

    def job(self, job_id: str = "job-1", **options: Any) -> ExportJob:
        """Create or change a job."""
        values: dict[str, Any] = {
            "id": job_id,
            "authorization_id": "auth-1",
            "client_id": self.client_id,
            "list_id": self.list_id,
            "created_at": DAY,
            "updated_at": self._now(),
            "started_at": DAY,
            "removal_guard": 1.0,
            **options,
        }
        job = ExportJob(**values)
        self.jobs[job_id] = job
        if self.worker is not None and self.worker.process.alive:
            self.worker.shared.set_jobs(self.jobs.values())
        return job

    def change_job(self, job_id: str = "job-1", **fields: Any) -> None:
        """Change some fields of a job, as the commands do."""
        if not fields.keys() <= {*NO_EDIT, "attention"}:  # attention has records of its own
            fields = {"updated_at": self._now(), **fields}
        self.jobs[job_id] = self.jobs[job_id].model_copy(update=fields)
        if self.worker is not None and self.worker.process.alive:
            self.worker.shared.set_jobs(self.jobs.values())

    def confirm_removals(self, job_id: str = "job-1") -> None:
        """Confirm a job's removals, as the command does."""
        self.change_job(job_id, removals_confirmed_at=self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.wall() / 1000, UTC)

    def change(self, email: str, change: str, audience: str, at: int, **more: Any) -> None:
        """Publish a membership event, `at` seconds after the day began."""
        body: dict[str, Any] = {"email": email, "change": change, "at": _text(at), **more}
        body["audience"] = {"id": audience, "name": more.pop("name", audience.upper())}
        body.pop("name", None)
        self.publish(email, body)

    def snapshot(self, email: str, audiences: list[str], at: int, **more: Any) -> None:
        """Publish a snapshot."""
        named = [{"id": audience, "name": audience.upper()} for audience in audiences]
        self.publish(email, {"email": email, "change": "snapshot", "audiences": named, "at": _text(at), **more})

    def publish(self, email: str, body: Any) -> None:
        """Publish anything."""
        value = body if isinstance(body, bytes) else orjson.dumps(body)
        self.log.append(Output(SOURCE, email.encode(), value), self.wall())

    def receipts(self) -> list[dict[str, Any]]:
        """All receipts, in the order of each partition."""
        return [orjson.loads(record.value or b"{}") for record in self.log.read("audience-delivery")]

    def outcomes(self, email: str | None = None) -> list[str]:
        """Outcome, with the reason where there is one, of each receipt."""
        return [
            receipt["outcome"] + (f" {receipt['reason']}" if "reason" in receipt else "")
            for receipt in self.receipts()
            if email is None or receipt["email"] == email
        ]

    def subscriber(self, email: str, list_id: str | None = None) -> dict[str, Any] | None:
        """A subscriber as the simulator holds it."""
        found: dict[str, Any] | None = self.controls.subscriber(list_id or self.list_id, email)
        return found

    def options(self, email: str, field: str = "Lytics Audiences", list_id: str | None = None) -> list[str]:
        """The options of a subscriber's field, sorted."""
        found = self.subscriber(email, list_id) or {"CustomFields": []}
        return sorted(
            value["Value"]
            for value in found["CustomFields"]
            if value["Key"].strip("[]").replace(" ", "") == field.replace(" ", "")
        )


def _text(at: int) -> str:
    return datetime.fromtimestamp(DAY.timestamp() + at, UTC).isoformat()


async def with_world(settings: SimulatorSettings | None = None) -> tuple[Simulator, World]:
    """A started simulator and a world on it; the caller ends the simulator."""
    simulator = Simulator(settings or SimulatorSettings())
    await simulator.__aenter__()
    return simulator, World(simulator)
