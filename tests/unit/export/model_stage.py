"""Where stories are played: a world with its clock, its people, and what upstream publishes about them."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.campaign_monitor.errors.exceptions import OutcomeUnknown
from connectors.devkit.simulator import Simulator
from streams.batches import Output
from streams.export.recovery.reconcile import DriftReport, compare, subscribers
from streams.export.rules.row import MembershipRow
from streams.export.rules.values import field_name
from streams.export.table import CHECKPOINT_KEY
from tests.unit.export.export_world import DAY, SOURCE, Worker, World
from tests.unit.export.model_people import SNAP_OUT, Act, Person, Statement
from tests.unit.export.model_stories import AUDIENCES, OPTIONS, PEOPLE

STEP_SECONDS = 40
# Longer than any story between two rests, so that no call is applied after it.
LATE_CALL_SECONDS = 3_000
STATUS = {
    "unsubscribe": "unsubscribe",
    "delete_subscriber": "delete",
    "hard_bounce": "bounce",
    "complain": "unsubscribe",
    "delete_permanently": "delete",
}


@dataclass
class Published:
    """A record of upstream's: where it is, and how many edits of the job there had been."""

    email: str
    value: bytes
    statements: list[Statement]
    partition: int
    offset: int
    edits: int
    misplaced: bool = False

    @property
    def audiences(self) -> set[str]:
        """The audiences that it names."""
        return {stated.audience for stated in self.statements if stated.rank != SNAP_OUT}


class Stage:
    """One world. Time is the story's: each step is at least forty seconds after the one before."""

    worker: Worker

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.world = World(simulator, late_call_seconds=LATE_CALL_SECONDS, guard_minimum=0)
        self.world.timeout_seconds = 5.0
        self.controls = simulator.controls
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.steps = 0
        self.passed = 0.0
        self.world.wall = lambda: int((DAY.timestamp() + self.seconds()) * 1000)
        self.people = {name: Person([f"{name}@example.com"]) for name in PEOPLE}
        self.names = {audience: audience.upper() for audience in AUDIENCES}
        self.former_names: dict[str, set[str]] = {audience: set() for audience in AUDIENCES}
        # Else somebody whose first event is a snapshot was there before the job, and is not exported.
        self.options: dict[str, Any] = {"existing_users": True}
        self.started = 0.0
        self.edits: list[dict[str, Any]] = []
        self.published: list[Published] = []
        self.confirmations: list[int] = []
        """How many writes there had been when a person confirmed removals."""
        self.rested = False
        self.lost = False
        """Whether a worker may have lost what it knew of a removal."""
        self.values_lost = False
        """Whether somebody took values off by editing the field."""
        self.hand_made: dict[str, tuple[str, Any]] = {}

    def seconds(self) -> float:
        """The story's time, in seconds of the day."""
        return 3_600 + self.steps * STEP_SECONDS + self.passed + self.loop.time() - self.began

    def set_clock(self) -> None:
        """Give Campaign Monitor the story's time."""
        self.controls.clock(at=DAY.timestamp() + self.seconds())

    def time(self, steps_late: int) -> float:
        """A time of upstream's, different from all others, in whole milliseconds: rows know no others."""
        return round(self.seconds() - steps_late * STEP_SECONDS + self.steps / 1_000, 3)

    def about(self, known: Person, steps_late: int) -> float:
        """A time for a statement about somebody, after they had their address."""
        return max(self.time(steps_late), known.since)

    # -- the job

    def option(self, name: str) -> Any:
        """The value of a job option now."""
        return getattr(self.world.jobs["job-1"], name)

    def ever(self, name: str) -> set[str]:
        """All values that an option had."""
        return {str(edit[name]) for edit in self.edits}

    def exported(self) -> list[str]:
        """The audiences that the job exports."""
        return self.option("audiences") or list(AUDIENCES)

    def set_job(self, **more: Any) -> None:
        """Make the job what it should be, and keep what the worker and the commands wrote into it."""
        known = self.world.jobs.get("job-1")
        ours = {} if known is None else {
            "attention": known.attention, "removals_confirmed_at": known.removals_confirmed_at,
        }  # fmt: skip
        started = DAY.fromtimestamp(DAY.timestamp() + self.started, DAY.tzinfo)
        self.world.job(**{"started_at": started, **ours, **self.options, **more})
        self.edits.append({name: self.option(name) for name in OPTIONS})

    # -- upstream

    def publish(
        self, email: str, body: dict[str, Any], statements: list[Statement], partition: int | None = None
    ) -> None:
        """Publish a record about a person."""
        self._append(email, orjson.dumps(body), statements, partition)

    def repeat_record(self, which: int) -> None:
        """Publish a record again."""
        if self.published:
            known = self.published[which % len(self.published)]
            self._append(known.email, known.value, known.statements, None)
            for person in {id(person): person for person in self.people.values()}.values():
                person.restate(known.statements, self.steps)

    def _append(self, email: str, value: bytes, statements: list[Statement], partition: int | None) -> None:
        output = Output(SOURCE, email.encode(), value, (), partition)
        where = self.world.log.partition_of(output)
        offset = self.world.log.append(output, self.world.wall())
        misplaced = partition is not None
        self.published.append(Published(email, value, statements, where, offset, len(self.edits), misplaced))

    def state(self, known: Person, at: float, rank: int, audience: str, *, first: bool = False) -> Statement:
        """Know what upstream states."""
        statement = Statement(at, rank, audience, first, self.steps)
        known.statements.append(statement)
        known.no_entry &= not statement.enters
        return statement

    # -- people

    def on_list(self, known: Person) -> dict[str, Any] | None:
        """The person's subscriber: an active one where there is one, else that of the latest address."""
        found = [self.world.subscriber(email) for email in reversed(known.everywhere())]
        there = sorted((subscriber for subscriber in found if subscriber), key=lambda it: it["State"] != "Active")
        return there[0] if there else None

    def report(self, email: str, how: str) -> None:
        """Let a webhook report what a person did."""
        body = {
            "at": text_of(self.seconds()), "event": "subscribe" if how in ("sign_up", "confirm") else "deactivate",
            "email": email, "source": "webhook", "list_id": self.world.list_id, "custom_fields": [],
            **({"status": STATUS[how]} if how in STATUS else {}),
        }  # fmt: skip
        self.world.log.append(Output("cm_activity", email.encode(), orjson.dumps(body)), self.world.wall())

    def remember(self, known: Person, how: str, *, webhook: bool) -> None:
        """Know what a person did."""
        known.acts.append(Act(how, self.seconds(), self.controls.summary()["writes"], webhook))
        known.no_entry = how == "delete_permanently" and self.rested
        known.deletion_read = False

    # -- the worker

    async def settle(self) -> None:
        """Work until nothing is left; somebody looks at the job meanwhile, and confirms its removals."""
        meanwhile = [asyncio.create_task(self._confirm()), asyncio.create_task(self._apply_late_calls())]
        try:
            faults = sum(fault["count"] or 1 for fault in self.controls.faults())
            await self.worker.rest(LATE_CALL_SECONDS * (8 + faults))  # a rename waits so long for each lost answer
        finally:
            for task in meanwhile:
                task.cancel()

    async def _apply_late_calls(self) -> None:
        """No call is applied later than `LATE_CALL_SECONDS` after it was made, and the worker relies on that."""
        while True:
            await asyncio.sleep(LATE_CALL_SECONDS / 3)
            self.controls.release_calls()

    async def _confirm(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if "confirm the removals" in (self.world.jobs["job-1"].attention or ""):
                self.confirmations.append(self.controls.summary()["writes"])
                self.world.confirm_removals()
                await asyncio.sleep(5.0)

    def rows(self) -> list[tuple[str, MembershipRow]]:
        """All people's rows."""
        return [
            (key.decode(), self.worker.process._row(number, key).data)
            for number, rows in self.world.log.rows.items()
            for key in rows
            if key != CHECKPOINT_KEY
        ]

    def late_calls(self) -> list[int]:
        """When calls without an answer are over, for each row that waits for it."""
        return [held.late.over_at for _, row in self.rows() for held in row.lists.values() if held.late is not None]

    async def reconciled(self) -> DriftReport:
        """What `export reconcile` reports."""
        api = self.worker.accounts._open["auth-1"].apis["live"]
        listed = self.worker.state.exports.lists[self.world.list_id]
        plain = {name: field_name(name) for name in (self.option("custom_field_name"), "City")}
        while True:
            with contextlib.suppress(OutcomeUnknown):  # the machine was busy for a moment
                on_list = await subscribers(api, self.world.list_id)
                break
        return compare(self.rows(), listed, self.worker.state.names, on_list, plain)


def text_of(at: float) -> str:
    """Return a time as upstream writes it."""
    return f"{DAY.fromtimestamp(DAY.timestamp() + at, DAY.tzinfo).isoformat(timespec='milliseconds')}"
