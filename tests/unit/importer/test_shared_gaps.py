"""The gap of a list that several jobs import is read by one of them, whichever are stopped, edited or removed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import ClientDetails, ListRef
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.progress import ProgressTable
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import expand, gaps
from connectors.importer.tasks.context import ExpansionContext
from connectors.importer.tasks.page import TaskResult
from connectors.importer.tasks.plan import requested
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask, key_of
from tests.unit.importer.engine_world import Accounts, Engine, in_virtual_time

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ZONE = "(GMT) Coordinated Universal Time"
DATES = ClientDates.of(ZONE)
STATES = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
LIST = "c-0"


def job(name: str, **change: Any) -> ImportJob:
    made = ImportJob(id=name, authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)
    return made.model_copy(update=change)


def gap(name: str, since: datetime) -> ImportTask:
    values = {"list_ids": [LIST], "client_id": "c", "since": rfc3339(since), "started_at": NOW}
    return ImportTask(job_id=name, run=0, chain=f"gap/{LIST}", kind="gap", **values)


class World:
    """Jobs, what is kept for them, and since when each state of the list was not read."""

    def __init__(self) -> None:
        self.jobs = {name: job(name) for name in "xyz"} | {"a": job("a", client_id="another")}
        self.jobs["z"] = job("z", authorization_id="b")
        self.table = ProgressTable()
        self.unread: dict[str, datetime] = {}

    def commit(self, result: TaskResult) -> None:
        for record in result.progress:
            self.table.apply(key_of(record), record.to_bytes())
        for key in result.deleted:
            self.table.apply(key, None)
        for task in result.requests:
            self.commit(requested(ImportTask.from_bytes(task.to_bytes()), self.table))

    def found(self, hours: int) -> None:
        """Find a gap, as the receiver does: the first job that runs is asked."""
        asked = self.readers()
        if asked:
            since = NOW - timedelta(hours=hours)
            self.unread = {state: min(since, self.unread.get(state, since)) for state in STATES}
            self.commit(requested(gap(asked[0], since), self.table))

    def readers(self, *states: str) -> list[str]:
        return [
            name
            for name, known in self.jobs.items()
            if known.state in (states or ("running",)) and not known.lists and known.client_id == "c"
        ]

    def hand_over(self) -> None:
        for name in self.table.jobs_with_gaps():
            if name not in self.jobs:  # its home may look before the owners of its chains
                self.commit(TaskResult(deleted=self.table.keys(name)))
            result = TaskResult()
            for chain in self.table.gaps(name).values():
                gaps.take_over(chain, self.jobs, self.table, NOW, result)
            self.commit(result)

    def fill(self, name: str) -> None:
        """Begin the reads of a gap."""
        chain = self.table.waiting(name).get(f"gap/{LIST}")
        if chain is not None and chain.task is not None and name in self.jobs:
            task = chain.task
            context = ExpansionContext(self.jobs[name], task, self.table, ImporterSettings(), NOW)
            since = datetime.fromisoformat(task.since or "")
            self.commit(
                expand.gap(context, ClientDetails("c", "Acme", ZONE, "BE", {}), DATES, [ListRef(LIST, "")], since)
            )

    def end(self, name: str, listing: str, how: str) -> None:
        """End or park the read of a state, or what begins the reads."""
        chain = self.table.waiting(name).get(listing)
        if chain is None or chain.task is None or (how == "done" and chain.task.cursor is None):
            return
        self.table.put(chain.model_copy(update={"state": how, "task": None if how == "done" else chain.task}))
        state = listing.rpartition("/")[2]
        cursor = chain.task.cursor
        if how == "done" and cursor is not None and (cursor.known_from or "") <= DATES.date_from(self.unread[state]):
            del self.unread[state]

    def kept(self, name: str) -> dict[str, datetime]:
        """Return since when a job still reads each state, or will."""
        kept: dict[str, datetime] = {}
        for chain, progress in self.table.gaps(name).items():
            assert progress.task is not None
            named = chain.split("/")[2:] or progress.task.states or STATES
            since = datetime.fromisoformat(progress.task.since or "")
            kept |= {state: min(since, kept.get(state, since)) for state in named}
        return kept


LISTINGS = [f"gap/{LIST}", *(f"gap/{LIST}/{state}" for state in STATES)]
ACTS = st.one_of(
    st.tuples(st.just("gap"), st.integers(1, 500)),
    st.tuples(st.just("hand over"), st.just(0)),
    st.tuples(st.just("fill"), st.sampled_from("xyz")),
    st.tuples(
        st.sampled_from(["done", "failed", "parked"]), st.tuples(st.sampled_from("xyz"), st.sampled_from(LISTINGS))
    ),
    st.tuples(st.sampled_from(["running", "stopped", "removed", "edited"]), st.sampled_from("xyz")),
)


@settings(max_examples=300)
@given(st.lists(ACTS, max_size=30))
@example([("gap", 9), ("removed", "x")])
@example([("gap", 9), ("stopped", "x"), ("parked", ("x", LISTINGS[0]))])
@example([("gap", 9), ("fill", "x"), ("done", ("x", LISTINGS[1])), ("removed", "x")])
@example([("stopped", "y"), ("stopped", "z"), ("gap", 9), ("removed", "x")])
def test_what_is_not_read_yet_is_kept_by_a_job_that_will_read_it(acts):
    world = World()
    for act, what in acts:
        match act:
            case "gap":
                world.found(what)
            case "hand over":
                world.hand_over()
            case "fill":
                world.fill(what)
            case "done" | "failed" | "parked":
                world.end(*what, act)
            case "removed":
                world.jobs.pop(what, None)
            case "edited":
                world.jobs[what] = job(what, lists=["another"])
            case state:
                world.jobs[what] = job(what, state=state)
        if not world.readers("running", "stopped"):
            world.hand_over()
            world.unread.clear()  # nobody has the list
    for name in world.jobs:  # a stopped job's reads are put aside before their next call
        for listing, chain in world.table.waiting(name).items():
            if chain.state == "open" and name not in world.readers():
                world.end(name, listing, "parked")
    for _ in range(3):
        world.hand_over()
    assert set(world.table.jobs_with_gaps()) <= set(world.jobs)
    readers = world.readers()
    for state, since in world.unread.items():
        kept = [world.kept(name).get(state) for name in readers or world.jobs]
        assert any(start is not None and start <= since for start in kept), (state, "nobody reads it")


@pytest.mark.parametrize(
    ("state", "owner", "handed"),
    [
        ("open", "stopped", False),
        ("parked", "stopped", True),
        ("failed", "stopped", True),
        ("open", "removed", True),
        ("parked", "running", False),
        ("failed", "running", False),
    ],
)
def test_what_a_job_reads_or_will_try_again_is_no_other_jobs(state, owner, handed):
    """A call of a stopped job may be in flight: what it reads is published, and only then it is put aside."""
    world = World()
    world.found(9)
    (chain,) = world.table.gaps("x").values()
    jobs = world.jobs | {"x": job("x", state=owner), "z": job("z")}
    if owner == "removed":
        del jobs["x"]
    result = TaskResult()
    gaps.take_over(chain.model_copy(update={"state": state}), jobs, ProgressTable(), NOW, result)
    assert [task.job_id for task in result.requests] == (["y"] if handed else [])
    assert bool(result.deleted) == handed


def test_what_one_authorization_may_not_read_another_one_reads_and_each_is_tried_once():
    world = World()
    world.found(9)

    def put_aside(name: str, listing: str, state: str, attempt: int) -> list[str]:
        """Return the jobs that have the gap afterwards."""
        chain = world.table.gaps(name)[listing]
        assert chain.task is not None
        task = chain.task.model_copy(update={"attempt": attempt})
        world.table.put(chain.model_copy(update={"state": state, "problem": "refused", "task": task}))
        world.hand_over()
        return sorted(world.table.jobs_with_gaps())

    whole, deleted = f"gap/{LIST}", f"gap/{LIST}/deleted"
    assert put_aside("x", whole, "parked", gaps.MAX_ATTEMPTS - 1) == ["x"]
    assert put_aside("x", whole, "parked", gaps.MAX_ATTEMPTS) == ["z"], "y has the authorization of x"
    world.fill("z")
    assert put_aside("z", deleted, "failed", 0) == ["z"], "x was tried"
    world.jobs["y"] = job("y", authorization_id="d")
    assert put_aside("z", deleted, "failed", 0) == ["y", "z"]
    assert set(world.kept("y")) == {"deleted"}


@pytest.mark.parametrize("at", ["asked", "begun", "reading"])
@pytest.mark.parametrize("how", ["removed", "stopped"])
def test_another_job_takes_over_wherever_its_first_reader_was(monkeypatch, at, how):
    async def story() -> None:
        jobs = [job("first", activities=[]), job("second", activities=[])]
        accounts = Accounts({"c": 1})
        async with Engine(accounts, jobs, monkeypatch, 1) as engine:
            await engine.until(lambda: _at_rest(engine, "first", "second"), 60)
            accounts.down = at == "reading"
            engine.request(gap("first", NOW))
            if at != "asked":
                await engine.handle_requests()
            if at == "reading":
                await engine.until(lambda: f"gap/{LIST}/deleted" in engine.table.chains("first"), 10, every=0.05)
            jobs[:] = jobs[1:] if how == "removed" else [job("first", state="stopped", activities=[]), jobs[1]]
            await engine.until(lambda: not engine.table.gaps("first") and not engine.requests, 60)
            accounts.down = False
            await engine.until(lambda: _filled(engine, "second") == set(STATES), 600)
            assert not engine.table.jobs_with_gaps()
            assert not _filled(engine, "first"), "one job reads it"
            if how == "removed":
                assert not engine.table.jobs() - {"second"}

    in_virtual_time(story())


def _at_rest(engine: Engine, *names: str) -> bool:
    runs = [engine.run(name) for name in names]
    return all(run is not None and run.state == "done" for run in runs)


def _filled(engine: Engine, name: str) -> set[str]:
    chains = engine.table.chains(name).items()
    return {
        chain.split("/")[2]
        for chain, progress in chains
        if chain.startswith(f"gap/{LIST}/") and progress.state == "done"
    }
