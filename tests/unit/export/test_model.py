"""Random play against a model of ten lines: whatever happens, at rest the list is what it should be.

Enters, exits, snapshots, late and repeated events, people who leave at Campaign Monitor, changed jobs, crashes at any
effect, and faults of the API. Always: nobody who left is active again, and no receipt is written twice.
"""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connectors.devkit.simulator import Simulator, SimulatorSettings
from streams.batches import Revoked
from tests.unit.export.export_world import FastLoop, World

PEOPLE = [f"{name}@example.com" for name in ("ann", "bob", "cem", "dee")]
AUDIENCES = ["vip", "vip-eu", "new"]
ENTER, EXIT, SNAP_IN, SNAP_OUT = 2, 3, 0, 1

FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500, "path": "/subscribers/*"},
    {"kind": "status", "status": 500, "path": "/subscribers/*", "after": True, "body": "html"},
    {"kind": "status", "status": 504, "path": "/subscribers/*", "after": True, "body": "empty"},
    {"kind": "reset", "path": "/subscribers/*"},
    {"kind": "reset", "path": "/subscribers/*", "after": True},
    {"kind": "truncate", "path": "/subscribers/*"},
    {"kind": "status", "status": 429, "path": "/subscribers/*", "code": 429, "headers": {"X-RateLimit-Reset": "1"}},
    {"kind": "status", "status": 500, "path": "/lists/*"},
    {"kind": "reset", "path": "/lists/*", "after": True},
    {"kind": "status", "status": 500, "path": "/segments/*"},
    {"kind": "hang", "seconds": 60, "path": "/subscribers/*", "after": True},
]


class Export(RuleBasedStateMachine):
    """Plays upstream, people, operators and bad luck."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=FastLoop)
        self.simulator: Simulator | None = None
        self.statements: dict[str, list[tuple[int, int, str]]] = {person: [] for person in PEOPLE}
        self.published: list[tuple[str, str, str, int]] = []
        self.left: set[str] = set()
        self.cities: dict[str, tuple[int, str]] = {}
        self.exported = set(AUDIENCES)
        self.reconfigured = False

    @initialize(policy=st.sampled_from(["keep", "unsubscribe", "delete"]), queue=st.booleans())
    def begin(self, policy: str, queue: bool) -> None:
        self.policy = policy
        self.runner.run(self._begin(policy, queue))

    async def _begin(self, policy: str, queue: bool) -> None:
        self.simulator = Simulator(SimulatorSettings())
        await self.simulator.__aenter__()
        self.world = World(self.simulator)
        self.world.timeout_seconds = 3.0
        mapping = [{"user_field": "city", "custom_field": "City"}]
        self.options = {"on_last_exit": policy, "queue_autoresponders": queue, "field_mappings": mapping}
        self.world.job(**self.options)
        self.worker = await self.world.start()

    # -- upstream

    @rule(
        person=st.sampled_from(PEOPLE),
        audience=st.sampled_from(AUDIENCES),
        enters=st.booleans(),
        at=st.integers(1, 60),
        city=st.sampled_from([None, None, "Ghent", "Oslo"]),
    )
    def change(self, person: str, audience: str, enters: bool, at: int, city: str | None) -> None:
        user = {} if city is None else {"city": city}
        self.world.change(person, "enter" if enters else "exit", audience, at, user=user)
        self.statements[person].append((at, ENTER if enters else EXIT, audience))
        self.published.append((person, "enter" if enters else "exit", audience, at))
        if city is not None:
            self.cities[person] = max(self.cities.get(person, (0, "")), (at, city))

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        person, change, audience, at = data.draw(st.sampled_from(self.published))
        self.world.change(person, change, audience, at, user={})

    @rule(person=st.sampled_from(PEOPLE), audiences=st.sets(st.sampled_from(AUDIENCES)), at=st.integers(1, 60))
    def snapshot(self, person: str, audiences: set[str], at: int) -> None:
        self.world.snapshot(person, sorted(audiences), at)
        for audience in AUDIENCES:
            self.statements[person].append((at, SNAP_IN if audience in audiences else SNAP_OUT, audience))

    @rule(audiences=st.sets(st.sampled_from(AUDIENCES), min_size=1))
    def reconfigure(self, audiences: set[str]) -> None:
        self.runner.run(self._reconfigure(audiences))

    async def _reconfigure(self, audiences: set[str]) -> None:
        self.world.job(**self.options, audiences=sorted(audiences))
        self.exported = audiences
        self.reconfigured = True

    @rule()
    def stop_and_start(self) -> None:
        self.runner.run(self._stop_and_start())

    async def _stop_and_start(self) -> None:
        audiences = sorted(self.exported)
        self.world.job(**self.options, audiences=audiences, state="stopped")
        await self.worker.consume()
        self.world.job(**self.options, audiences=audiences)

    # -- people at Campaign Monitor

    @rule(person=st.sampled_from(PEOPLE), how=st.sampled_from(["unsubscribe", "delete_subscriber", "hard_bounce"]))
    def leave(self, person: str, how: str) -> None:
        found = self.world.subscriber(person)
        if found is not None and found["State"] == "Active":
            getattr(self.world.controls, how)(self.world.list_id, person)
            self.left.add(person)

    # -- bad luck

    @rule(fault=st.sampled_from(FAULTS), count=st.integers(1, 3))
    def fault(self, fault: dict[str, Any], count: int) -> None:
        self.world.controls.inject(count=count, **fault)

    @rule(effects=st.integers(1, 12))
    def crash(self, effects: int) -> None:
        self.runner.run(self._crash(effects))

    async def _crash(self, effects: int) -> None:
        process = self.worker.process
        process.kill_at = process.effects + effects
        with contextlib.suppress(Revoked):
            await self.worker.consume()
        await asyncio.sleep(1.0)
        await self.worker.crash()
        self.worker = await self.world.start()

    @rule()
    def restart(self) -> None:
        self.runner.run(self._restart())

    async def _restart(self) -> None:
        await self.worker.stop()
        self.worker = await self.world.start()

    @rule()
    def fold(self) -> None:
        self.runner.run(self.worker.consume())

    # -- what must hold

    @invariant()
    def nobody_who_left_is_active(self) -> None:
        for person in self.left:
            found = self.world.subscriber(person)
            assert found is not None
            assert found["State"] != "Active", person

    @invariant()
    def no_receipt_twice(self) -> None:
        if self.simulator is not None:
            ids = [receipt["event_id"] for receipt in self.world.receipts()]
            assert len(ids) == len(set(ids))

    @rule()
    def rest(self) -> None:
        self.runner.run(self.worker.rest())
        self.check()

    def check(self) -> None:
        for person in PEOPLE:
            self._check_person(person)
        self._check_receipts()

    def _wanted(self, person: str) -> set[str]:
        last: dict[str, tuple[int, int]] = {}
        for at, rank, audience in self.statements[person]:
            last[audience] = max(last.get(audience, (0, SNAP_OUT)), (at, rank))
        inside = {audience for audience, (_, rank) in last.items() if rank in (ENTER, SNAP_IN)}
        return inside & self.exported

    def _check_person(self, person: str) -> None:
        desired = self._wanted(person)
        found = self.world.subscriber(person)
        options = set(self.world.options(person))
        names = {audience.upper() for audience in desired}
        if person in self.left:
            assert options <= names, (person, options, names)
            return
        if desired:
            assert found is not None, (person, desired)
            if found["State"] == "Active":
                assert options == names, (person, options, names)
                if person in self.cities:
                    assert self.world.options(person, "City") == [self.cities[person][1]]
            else:
                # Taken off by the job itself when they left the last audience; resubscribing is off.
                assert self.policy != "keep"
                assert options <= names, (person, options, names)
        elif found is not None:
            assert options == set(), (person, options)
            if self.policy != "keep":
                assert found["State"] != "Active"

    def _check_receipts(self) -> None:
        if self.reconfigured:
            return  # which changes concerned the job then is not the model's business
        answered = {(receipt["source"]["partition"], receipt["source"]["offset"]) for receipt in self.world.receipts()}
        for partition in range(self.world.log.partitions):
            for record in self.world.log.topics.get(("audience-membership", partition), ()):
                if b'"snapshot"' not in (record.value or b""):
                    assert (partition, record.offset) in answered, record

    def teardown(self) -> None:
        if self.simulator is not None:
            self.world.controls.clear_faults()
            try:
                self.runner.run(self.worker.rest())
                self.check()
                self.nobody_who_left_is_active()
                self.no_receipt_twice()
            finally:
                self.runner.run(self._end())
        self.runner.close()

    async def _end(self) -> None:
        await self.worker.crash()
        assert self.simulator is not None
        await self.simulator.__aexit__(None, None, None)


Export.TestCase.settings = settings(
    max_examples=60,
    phases=(Phase.explicit, Phase.generate),  # a smaller example is not worth the minutes that shrinking takes
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.slow
class TestExport(Export.TestCase):
    """Runs the machine."""
