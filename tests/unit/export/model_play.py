"""Plays stories to the real agent, sender and client over HTTP, and knows what the list must hold at the end."""

import asyncio
import contextlib
from typing import Any

import orjson
from structlog.testing import capture_logs

from connectors.devkit.simulator import Simulator, SimulatorSettings
from streams.batches import Output, Revoked, partition_of
from tests.unit.export.export_world import DAY, SOURCE, World
from tests.unit.export.model_people import ENTER, EXIT, SNAP_IN, SNAP_OUT, Act, Person
from tests.unit.export.model_stories import AUDIENCES, OPTIONS, PEOPLE, Step

STEP_SECONDS = 10
# Longer than any story between two rests, so that no call is applied after it.
LATE_CALL_SECONDS = 1_000
STATUS = {
    "unsubscribe": "unsubscribe",
    "delete_subscriber": "delete",
    "hard_bounce": "bounce",
    "complain": "unsubscribe",
    "delete_permanently": "delete",
}


class Play:
    """One story in one world. Time is the story's: each step is at least ten seconds after the one before."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.world = World(simulator, late_call_seconds=LATE_CALL_SECONDS)
        self.world.timeout_seconds = 3.0
        self.controls = simulator.controls
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.steps = 0
        self.passed = 0.0
        self.world.wall = lambda: int((DAY.timestamp() + self.seconds()) * 1000)
        self.people = {name: Person([f"{name}@example.com"]) for name in PEOPLE}
        self.names = {audience: (0.0, audience.upper()) for audience in AUDIENCES}
        # Else somebody whose first event is a snapshot was there before the job, and is not exported.
        self.options: dict[str, Any] = {"existing_users": True}
        self.had: dict[str, set[str]] = {}
        self.published: list[tuple[str, bytes]] = []
        self.misplaced_events = False
        self.rested = False
        self.hand_made: dict[str, tuple[str, Any]] = {}

    def seconds(self) -> float:
        """The story's time, in seconds of the day."""
        return 3_600 + self.steps * STEP_SECONDS + self.passed + self.loop.time() - self.began

    def option(self, name: str) -> Any:
        """The value of a job option now."""
        return getattr(self.world.jobs["job-1"], name)

    def ever(self, name: str) -> set[str]:
        """All values that an option had."""
        return self.had.get(name, set())

    async def play(self, story: list[Step]) -> None:
        """Play a story, then let everything come to rest, and check. Raises AssertionError."""
        with capture_logs() as logs:
            for step in story:
                self.steps += 1
                self._set_clock()
                self.rested &= step.action in ("rest", "own_act")
                await getattr(self, step.action)(**step.values)
            self.controls.clear_faults()
            await self.rest()
            await self.restart()
            await self.rest()
        self.logged = logs

    def _set_job(self, **more: Any) -> None:
        self.world.job(**{**self.options, **more})
        for name in OPTIONS:
            self.had.setdefault(name, set()).add(str(self.option(name)))

    def _time(self, steps_late: int) -> float:
        return self.seconds() - steps_late * STEP_SECONDS + self.steps / 1_000

    async def begin(self, **options: Any) -> None:
        await self.edit_job(**options)
        self.worker = await self.world.start()

    # -- upstream

    async def change(
        self, person: str, audience: str, enters: bool, steps_late: int = 0, city: str | None = None, **more: Any
    ) -> None:
        at, known = self._time(steps_late), self.people[person]
        known.statements.append((at, ENTER if enters else EXIT, audience))
        known.exits_only &= not enters
        user = {} if city is None else {"city": city}
        if city is not None:
            known.cities[at] = city
        body = {
            "email": known.email, "change": "enter" if enters else "exit", "at": _text(at), "user": user,
            "audience": {"id": audience, "name": self.names[audience][1]}, **more,
        }  # fmt: skip
        self._publish(known.email, body)

    def _publish(self, email: str, body: dict[str, Any], partition: int | None = None) -> None:
        value = orjson.dumps(body)
        self.world.log.append(Output(SOURCE, email.encode(), value, (), partition), self.world.wall())
        self.published.append((email, value))

    async def snapshot(self, person: str, audiences: list[str], steps_late: int) -> None:
        at, known = self._time(steps_late), self.people[person]
        for audience in AUDIENCES:
            known.statements.append((at, SNAP_IN if audience in audiences else SNAP_OUT, audience))
        known.exits_only &= not audiences
        named = [{"id": audience, "name": self.names[audience][1]} for audience in audiences]
        self._publish(known.email, {"email": known.email, "change": "snapshot", "at": _text(at), "audiences": named})

    async def repeat(self, which: int) -> None:
        if self.published:
            email, value = self.published[which % len(self.published)]
            self.world.log.append(Output(SOURCE, email.encode(), value), self.world.wall())

    async def misplaced(self, person: str, audience: str, enters: bool) -> None:
        self.misplaced_events = True
        at, known = self._time(0), self.people[person]
        known.statements.append((at, ENTER if enters else EXIT, audience))
        known.exits_only &= not enters
        named = {"id": audience, "name": self.names[audience][1]}
        body = {"email": known.email, "change": "enter" if enters else "exit", "at": _text(at), "audience": named}
        self._publish(known.email, body, 1 - partition_of(known.email.encode(), self.world.log.partitions))

    async def new_address(self, person: str, audience: str) -> None:
        known = self.people[person]
        former = known.email
        known.addresses.append(f"{person}{len(known.addresses)}@example.com")
        await self.change(person, audience, True, previous_email=former)

    async def rename(self, audience: str, name: str) -> None:
        at = self._time(0)
        self.names[audience] = (at, name if all(name != other for _, other in self.names.values()) else audience)
        await self.change("cem", audience, True)

    # -- people and operators

    async def own_act(self, person: str, how: str, webhook: bool) -> None:
        known = self.people[person]
        found = self.world.subscriber(known.email)
        active = found is not None and found["State"] == "Active"
        if active == (how == "sign_up"):
            return
        if how == "sign_up" and found is None:
            return
        getattr(self.controls, how)(self.world.list_id, known.email)
        known.acts.append(Act(how, self.seconds(), self.controls.summary()["writes"]))
        known.unseen = not webhook
        known.exits_only = how == "delete_permanently" and self.rested
        if webhook:
            self._report(known, how)

    def _report(self, known: Person, how: str) -> None:
        body = {
            "at": _text(self.seconds()), "event": "subscribe" if how == "sign_up" else "deactivate",
            "email": known.email, "source": "webhook", "list_id": self.world.list_id, "custom_fields": [],
            **({} if how == "sign_up" else {"status": STATUS[how]}),
        }  # fmt: skip
        self.world.log.append(Output("cm_activity", known.email.encode(), orjson.dumps(body)), self.world.wall())

    async def edit_job(self, **options: Any) -> None:
        self.options |= options
        for known in self.people.values():
            known.exits_only = False
        self._set_job()

    async def stop_and_start(self) -> None:
        self._set_job(state="stopped")
        await self.worker.consume()
        self._set_job()

    async def field_by_hand(self, how: str) -> None:
        fields = self.controls.list(self.world.list_id).fields
        if how == "add":
            self.controls.add_field(self.world.list_id, f"By hand {self.steps}")
        ours = [made for made in fields.values() if made.name == self.option("custom_field_name")]
        if not ours or how == "add":
            return
        if how == "delete":
            self.controls.delete_field(self.world.list_id, ours[0].key)
        elif how == "rename":
            self.controls.rename_field(self.world.list_id, ours[0].key, f"Former {self.steps}")
        else:
            self.controls.set_options(self.world.list_id, ours[0].key, ours[0].options[1:])

    async def segment_by_hand(self, audience: str, how: str) -> None:
        segments = self.simulator.state.segments
        title = self.names[audience][1]
        found = [segment for segment in segments.values() if segment.title == title]
        if how == "make" and not found:
            made = self.controls.add_segment(self.world.list_id, title, [[("Name", "PROVIDED")]])
            self.hand_made[made] = (title, segments[made].groups)
        for segment in found:
            if segment.segment_id not in self.hand_made and how == "delete":
                del segments[segment.segment_id]
            elif segment.segment_id not in self.hand_made and how == "edit":
                segment.groups = [[{"RuleType": "Name", "Clause": "PROVIDED"}]]

    # -- bad luck

    async def fault(self, fault: dict[str, Any], times: int) -> None:
        self.controls.inject(count=times, **fault)

    async def apply_late_calls(self) -> None:
        self.controls.release_calls()

    async def crash(self, effects: int) -> None:
        process = self.worker.process
        process.kill_at = process.effects + effects
        with contextlib.suppress(Revoked):
            await self.worker.consume()
        await asyncio.sleep(1.0)
        await self.worker.crash()
        self.worker = await self.world.start()

    async def restart(self) -> None:
        await self.worker.stop()
        self.worker = await self.world.start()

    async def hand_over(self, partition: int) -> None:
        await self.worker.hand_over(partition)

    async def work(self, seconds: int) -> None:
        await self.worker.consume()
        await asyncio.sleep(seconds)

    async def rest(self) -> None:
        """Let all come to an end, then calls without an answer, and the time when none can be applied any more."""
        await self.worker.rest()
        self.controls.release_calls()
        for _ in range(5):
            if not (over := self._late_calls()):
                break
            self.passed += max(0.0, max(over) / 1_000 - DAY.timestamp() - self.seconds() + 1)
            self._set_clock()
            for owned in list(self.worker.state.owned.values()):  # at once, without waiting for the next look
                await self.worker.runner._partitions._queue_rechecks(owned, 1_000)
            await self.worker.rest()
        assert not self._late_calls(), "somebody waits for calls that are over"
        self.rested = True

    def _late_calls(self) -> list[int]:
        rows = [self.worker.process._row(number, key) for number, rows in self.world.log.rows.items() for key in rows]
        return [held.late.over_at for row in rows for held in row.data.lists.values() if held.late is not None]

    def _set_clock(self) -> None:
        self.controls.clock(at=DAY.timestamp() + self.seconds())


def _text(at: float) -> str:
    moment = DAY.timestamp() + at
    return f"{DAY.fromtimestamp(moment, DAY.tzinfo).isoformat(timespec='milliseconds')}"


async def played(story: list[Step]) -> Play:
    """Play a story in a world of its own."""
    async with Simulator(SimulatorSettings()) as simulator:
        play = Play(simulator)
        try:
            await play.play(story)
        finally:
            await play.worker.crash()
        return play
