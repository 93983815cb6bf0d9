"""Plays stories to the real agent, sender and client over HTTP: a method for each kind of step."""

import asyncio
import contextlib
from typing import Any

from structlog.testing import capture_logs

from connectors.devkit.simulator import Simulator, SimulatorSettings
from schemas.membership_command import command_bytes
from streams.batches import Output, Revoked, partition_of
from streams.export.recovery.reconcile import repairs
from streams.export.sending.queue import IMPORT_LIMIT
from tests.unit.export.model_people import ENTER, EXIT, SNAP_IN, SNAP_OUT
from tests.unit.export.model_stage import Stage, text_of
from tests.unit.export.model_stories import AUDIENCES, Step

LOOKS = 20  # a look that meets a fault is repeated when a call without an answer would be over


class Play(Stage):
    """One story in one world."""

    async def play(self, story: list[Step]) -> None:
        """Play a story, then let everything come to rest. Raises AssertionError."""
        with capture_logs() as logs:
            for step in story:
                self.steps += 1
                self.set_clock()
                self.rested &= step.action in ("rest", "own_act")
                await getattr(self, step.action)(**step.values)
            self.controls.clear_faults()
            await self.rest()
            lost = self.lost
            await self.restart()
            await self.rest()
            self.lost = lost
            self.drift = await self.reconciled()
        self.logged = logs

    async def begin(
        self,
        *,
        confirmed: bool = False,
        begins_now: bool = False,
        direct: bool = False,
        import_size: int = IMPORT_LIMIT,
        max_records: int = 100,
        **options: Any,
    ) -> None:
        if direct:
            self.world.min_people = 1
        self.world.import_size, self.world.max_records = import_size, max_records
        self.controls.list(self.world.list_id).confirmed_opt_in = confirmed
        self.started = self.seconds() if begins_now else 0.0
        await self.edit_job(**options)
        self.worker = await self.world.start()

    # -- upstream

    async def change(
        self,
        person: str,
        audience: str,
        enters: bool,
        steps_late: int = 0,
        fields: dict[str, Any] | None = None,
        at: float | None = None,
        then: str | None = None,
        **more: Any,
    ) -> None:
        known = self.people[person]
        at = self.about(known, steps_late) if at is None else at
        stated = self.state(known, at, ENTER if enters else EXIT, audience)
        user = {name: self._value(person, name, value) for name, value in (fields or {}).items()}
        for name, value in user.items():
            known.fields.setdefault(name, {})[at] = value
        body = {
            "email": known.email, "change": "enter" if enters else "exit", "at": text_of(at), "user": user,
            "audience": {"id": audience, "name": self.names[audience]}, **more,
        }  # fmt: skip
        self.publish(known.email, body, [stated])
        if then is not None:
            await (self.rest() if then == "rest" else self.work(3))

    def _value(self, person: str, name: str, value: Any) -> Any:
        if name == "work" and value is not None:
            return f"{person}.{value}@work.example.com"
        return text_of(self.seconds()) if value == "now" else value

    async def snapshot(self, person: str, audiences: list[str], steps_late: int) -> None:
        known = self.people[person]
        at, first = self.about(known, steps_late), not known.statements
        stated = [
            self.state(known, at, SNAP_IN if audience in audiences else SNAP_OUT, audience, first=first)
            for audience in AUDIENCES
        ]
        named = [{"id": audience, "name": self.names[audience]} for audience in audiences]
        body = {"email": known.email, "change": "snapshot", "at": text_of(at), "audiences": named}
        self.publish(known.email, body, stated)

    async def repeat(self, which: int) -> None:
        self.repeat_record(which)

    async def misplaced(self, person: str, audience: str, enters: bool) -> None:
        at, known = self.time(0), self.people[person]
        stated = self.state(known, at, ENTER if enters else EXIT, audience)
        named = {"id": audience, "name": self.names[audience]}
        body = {"email": known.email, "change": "enter" if enters else "exit", "at": text_of(at), "audience": named}
        wrong = 1 - partition_of(known.email.encode(), self.world.log.partitions)
        self.publish(known.email, body, [stated], wrong)

    async def new_address(self, person: str, audience: str) -> None:
        known = self.people[person]
        former = known.email
        known.move(f"{person}{self.steps}@example.com", self.time(0))
        await self.change(person, audience, True, previous_email=former)

    async def swap(self, person: str, other: str, audience: str) -> None:
        """Two people have each other's address, from one instant on."""
        first, second = self.people[person], self.people[other]
        if first is second:
            return
        at, had, gets = self.time(0), first.email, second.email
        first.move(gets, at)
        second.move(had, at)
        first.mixed = second.mixed = True
        await self.change(person, audience, True, at=at, previous_email=had)
        await self.change(other, audience, True, at=at, previous_email=gets)

    async def become_one(self, person: str, other: str, audience: str) -> None:
        """Somebody has the address of somebody else, who has none of their own any more."""
        first, second = self.people[person], self.people[other]
        if first is second:
            return
        former = first.email
        first.merge(second)
        first.move(second.email, self.time(0))
        self.people |= {name: first for name, known in self.people.items() if known is second}
        await self.change(person, audience, True, previous_email=former)

    async def rename(self, audience: str, name: str) -> None:
        self.former_names[audience].add(self.names[audience])
        self.names[audience] = name if name not in self.names.values() else audience
        await self.change("cem", audience, True)

    # -- people and operators

    async def own_act(self, person: str, how: str, webhook: bool) -> None:
        known = self.people[person]
        found = self.on_list(known)
        if found is None:
            return
        possible = {
            "sign_up": found["State"] not in ("Active", "Unconfirmed"),
            "confirm": found["State"] == "Unconfirmed",
        }
        if not possible.get(how, found["State"] == "Active"):
            return
        getattr(self.controls, how)(self.world.list_id, found["EmailAddress"])
        # A webhook finds the row by its key, which is not the address where the job reads that from a field.
        self.remember(known, how, webhook=webhook and found["EmailAddress"] == known.email)
        if webhook:
            self.report(found["EmailAddress"], how)

    async def edit_job(self, **options: Any) -> None:
        self.options |= options
        for known in self.people.values():
            known.no_entry &= known.deletion_read
        self.set_job()

    async def stop_and_start(self) -> None:
        self.set_job(state="stopped")
        await self.worker.consume()
        self.set_job()

    async def field_by_hand(self, how: str) -> None:
        fields = self.controls.list(self.world.list_id).fields
        if how == "add":
            self.controls.add_field(self.world.list_id, f"By hand {self.steps}")
        ours = [made for made in fields.values() if made.name == self.option("custom_field_name")]
        if not ours or how == "add":
            return
        self.values_lost = True
        if how == "delete":
            self.controls.delete_field(self.world.list_id, ours[0].key)
        elif how == "rename":
            self.controls.rename_field(self.world.list_id, ours[0].key, f"Former {self.steps}")
        elif len(ours[0].options) > 1:  # that the last one is removed is not noticed
            self.controls.set_options(self.world.list_id, ours[0].key, ours[0].options[1:])

    async def segment_by_hand(self, audience: str, how: str) -> None:
        segments = self.simulator.state.segments
        title = self.names[audience]
        found = [segment for segment in segments.values() if segment.title == title]
        if how == "make" and not found:
            made = self.controls.add_segment(self.world.list_id, title, [[("Name", "PROVIDED")]])
            self.hand_made[made] = (title, segments[made].groups)
        for segment in found:
            if segment.segment_id not in self.hand_made and how == "delete":
                del segments[segment.segment_id]
            elif segment.segment_id not in self.hand_made and how == "edit":
                segment.groups = [[{"RuleType": "Name", "Clause": "PROVIDED"}]]

    async def repair(self) -> None:
        self.controls.clear_faults()
        await self.worker.consume()
        with contextlib.suppress(KeyError):  # before the list was opened
            read_at = self.world.wall()
            for key, command in repairs(await self.reconciled(), self.world.list_id, read_at):
                value = command_bytes(command)
                self.world.log.append(Output("cm_membership-commands", key.encode(), value), self.world.wall())

    # -- bad luck

    async def fault(self, fault: dict[str, Any], times: int) -> None:
        self.controls.inject(count=times, **fault)

    async def apply_late_calls(self) -> None:
        self.controls.release_calls()

    async def crash(self, effects: int) -> None:
        self.lost = True
        process = self.worker.process
        process.kill_at = process.effects + effects
        with contextlib.suppress(Revoked):
            await self.worker.consume()
        await asyncio.sleep(1.0)
        await self.worker.crash()
        self.worker = await self.world.start()

    async def not_delivered(self, effects: int, late: bool) -> None:
        process = self.worker.process
        process.fail_at, process.fails_late = process.effects + effects, late

    async def restart(self) -> None:
        self.lost = True
        await self.worker.stop()
        self.worker = await self.world.start()

    async def hand_over(self, partition: int) -> None:
        self.lost = True
        await self.worker.hand_over(partition)

    async def work(self, seconds: int) -> None:
        await self.worker.consume()
        await asyncio.sleep(seconds)

    async def rest(self) -> None:
        """Let all come to an end, then calls without an answer, and the time when none can be applied any more."""
        await self.settle()
        self.controls.release_calls()
        for _ in range(LOOKS):
            if not (over := self.late_calls()):
                break
            self.passed += max(0.0, max(over) / 1_000 - self.world.wall() / 1_000 + 1)
            self.set_clock()
            for owned in list(self.worker.state.owned.values()):  # at once, without waiting for the next look
                await self.worker.runner._partitions._queue_rechecks(owned, 1_000)
            await self.settle()
        assert not self.late_calls(), "somebody waits for calls that are over"
        self.rested = True
        for known in self.people.values():
            known.deletion_read = known.deletion_read or (known.no_entry and known.acts[-1].webhook)


async def played(story: list[Step]) -> Play:
    """Play a story in a world of its own."""
    async with Simulator(SimulatorSettings()) as simulator:
        play = Play(simulator)
        try:
            await play.play(story)
        finally:
            await play.worker.crash()
        return play
