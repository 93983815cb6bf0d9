"""The suppression list: who is on it, for the lists that a job names, and who was taken off it."""

import random
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.dates import ClientDates
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.readers import address_sketch
from connectors.importer.readers import reader as readers
from connectors.importer.readers.address_sketch import AddressSketch
from connectors.importer.tasks import execute
from connectors.importer.translate import RowTranslator
from schemas.cm_user import CmUser
from schemas.import_task import Source
from tests.integration.importer.importing import import_job
from tests.unit.importer.fake_pages import FakePages, ReadLoop, minute
from tests.unit.importer.import_world import ImportWorld

SUPPRESSED = Source(resource="suppression", client_id="c", time_zone="UTC")


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Listings of few pages are divided already: this one must not be."""
    monkeypatch.setattr(readers, "MIN_PAGES_PER_CHAIN", 2)


addresses = st.sets(st.emails().map(str.encode), max_size=40)


@given(addresses, addresses, addresses)
def test_who_is_gone_is_read_by_name(both, before, now):
    one, other = AddressSketch(), AddressSketch()
    one.add(both | before)
    other.add(both | now)
    found = AddressSketch(one.packed()).gone(AddressSketch(other.packed()))
    assert found == sorted(before - both - now)
    assert (one.count, other.count) == (len(both | before), len(both | now))


def test_an_address_that_was_taken_off_and_came_back_counts_twice_and_is_gone_once():
    one, other = AddressSketch(), AddressSketch()
    one.add([b"ann@b.example", b"bob@b.example", b"ann@b.example"])
    other.add([b"ann@b.example", b"bob@b.example"])
    assert one.gone(other) == [b"ann@b.example"]


def test_hundreds_who_are_gone_are_named_and_of_too_many_nobody_wrongly():
    one = AddressSketch()
    one.add(b"p%d@b.example" % number for number in range(20_000))
    for gone, named in ((500, 500), (5_000, None)):
        other = AddressSketch()
        other.add(b"p%d@b.example" % number for number in range(gone, 20_000))
        found = one.gone(other)
        assert found is None if named is None else len(found or []) == named


def entry(number: int, at: int) -> dict:
    return {"EmailAddress": f"p{number}@example.com", "Date": minute(at), "State": "Suppressed"}


@settings(max_examples=200, deadline=None)
@given(count=st.integers(0, 60), ahead=st.integers(0, 3), runs=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_at_rest_all_who_were_taken_off_are_named_and_nobody_else(count, ahead, runs, seed):
    chance = random.Random(seed)
    server = FakePages(lambda row: (row["Date"], row["EmailAddress"]))
    at = 0
    server.rows = [entry(number, at := at + chance.randint(0, 900)) for number in range(count)]
    came = count
    taken_off: list[str] = []

    def move(_turn: int) -> None:
        nonlocal came, at
        for _act in range(chance.choice((0, 0, 1, 2))):
            at += 1
            if server.rows and chance.random() < 0.5:
                row = server.rows.pop(chance.randrange(len(server.rows)))
                if any(row["EmailAddress"] == read["EmailAddress"] for read in loop.rows):
                    taken_off.append(row["EmailAddress"])
            elif came < count + 40:
                came += 1
                again = [email for email in taken_off if email not in {row["EmailAddress"] for row in server.rows}]
                row = entry(came, at)
                server.rows.append({**row, "EmailAddress": chance.choice(again)} if again and came % 2 else row)

    loop = ReadLoop(server, SUPPRESSED, max_chains=4, ahead=ahead, seed=seed)
    loop.run()
    for _run in range(runs):
        move(0)
        loop.run()
    assert sorted(loop.removed) == sorted(taken_off)
    before = loop.pages
    assert loop.run() == []
    assert loop.pages - before <= 1 + len(server.rows) // loop.size + 1, "a run with nothing new compares nothing"


async def play(seed: int) -> None:
    """Suppress people, take them off, edit the job's lists, refuse and crash; compare with the simulator's books."""
    dice = random.Random(seed)
    story: list[str] = []
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, name) for name in ("News", "Offers")]
        controls.seed_subscribers(lists[0], 25)
        controls.seed_subscribers(lists[1], 25, first_person=15)
        people = {row["EmailAddress"] for of in lists for row in controls.subscribers(of, "Active", limit=50)}
        people |= {f"stranger{number}@b.example" for number in range(8)}
        suppressed = simulator.state.clients[client].suppressed
        job = import_job(client, lists=dice.choice([[], lists[:1], lists]), activities=[])
        named = [job.lists]

        def act(world: ImportWorld) -> str:
            controls.clock(advance=3600)
            match dice.choice(["on", "on", "off", "off", "lists", "refuse", "heal", "crash"]):
                case "on":
                    found = dice.sample(sorted(people), dice.randint(1, 8))
                    for email in found:
                        controls.suppress(client, email)
                    return f"on {len(found)}"
                case "off":
                    found = dice.sample(sorted(suppressed), min(len(suppressed), dice.randint(1, 4)))
                    for email in found:
                        del suppressed[email]
                    return f"off {len(found)}"
                case "lists":
                    world.change(lists=dice.choice([[], lists[:1], lists[1:], lists]))
                    named.append(world.job.lists)
                    return f"lists {[lists.index(of) for of in world.job.lists]}"
                case "refuse":
                    path = dice.choice(["/clients/*/suppressionlist*", "/clients/*/listsforemail*"])
                    status = dice.choice([{"status": 403, "code": 403}, {"status": 500}])
                    controls.inject(kind="status", path=path, count=dice.choice([1, 3, None]), **status)
                    return f"refuse {path} {status['status']}"
                case "heal":
                    controls.clear_faults()
                    return "heal"
                case "crash":
                    world.crash()
                    return "crash"
            return ""

        async with ImportWorld(simulator, job, seed) as world:
            for _turn in range(dice.randint(4, 16)):
                story.append(act(world))
                world.ask_for_a_run()
                await world.work(dice.choice([0, 10, 60, 400]))
            controls.clear_faults()
            for _run in range(3):
                await world.work()
                world.ask_for_a_run()
            await world.work()
            problem = f"seed {seed}: {'; '.join(filter(None, story))}"
            found = [CmUser.from_bytes(record.value) for record in world.published if record.topic == "cm_user"]
            entries = [value for value in found if value.list_id is None]
            ids = [value.event_id for value in entries]
            assert len(ids) == len(set(ids)), problem
            latest = {value.email: value for value in sorted(entries, key=lambda value: value.at)}
            is_on = {email for email, value in latest.items() if value.status == "Suppressed"}
            of = {
                email
                for target in (world.job.lists or lists)
                for row in controls.each_subscriber(target)
                if (email := row["EmailAddress"])
            }
            wanted = {email for email in suppressed if not world.job.lists or email in of}
            assert wanted <= is_on, problem
            assert is_on <= set(suppressed), problem
            if all(named):
                assert not any(email.startswith("stranger") for email in latest), problem
            before = len(world.published)
            world.ask_for_a_run()
            await world.work()
            assert len(world.published) == before, problem


@pytest.mark.parametrize("first", [0, 6])
async def test_at_rest_each_is_reported_as_the_list_has_them(first):
    for seed in range(first, first + 6):
        await play(seed)


async def test_more_removals_than_can_be_named_are_a_problem_of_the_run(monkeypatch):
    monkeypatch.setattr(address_sketch, "CELLS", 4)
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        for number in range(60):
            simulator.controls.suppress(client, f"p{number}@b.example")
        async with ImportWorld(simulator, import_job(client, activities=[]), 0) as world:
            await world.work()
            suppressed = simulator.state.clients[client].suppressed
            for email in sorted(suppressed)[:40]:
                del suppressed[email]
            for state, problems in (("incomplete", 1), ("done", 0)):
                counted = execute.FAILED._value.get()
                world.ask_for_a_run()
                await world.work()
                run = world.table.runs[world.job.id]
                assert (run.state, run.problems) == (state, problems)
                assert execute.FAILED._value.get() - counted == problems
            found = [orjson.loads(record.value)["status"] for record in world.published]
            assert found.count("Unsuppressed") == 0


def test_what_is_reported_of_who_was_taken_off():
    seen = datetime(2026, 6, 1, 12, tzinfo=UTC)
    dates = ClientDates.of("(GMT) Coordinated Universal Time")
    translator = RowTranslator(SUPPRESSED, "j", dates, "2026-06-01T12:00:00.000Z")
    (first,) = translator.removed(["ann@b.example"], seen)
    (again,) = translator.removed(["ann@b.example"], seen)
    (later,) = translator.removed(["ann@b.example"], seen + timedelta(hours=1))
    value = CmUser.from_bytes(first.value)
    assert (value.status, value.at, value.email, value.client_id) == ("Unsuppressed", seen, "ann@b.example", "c")
    assert first == again
    assert CmUser.from_bytes(later.value).event_id != value.event_id
