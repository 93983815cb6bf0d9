"""The engine in virtual time: how many calls it makes, how well they fill the slots, and what a removed job leaves."""

import asyncio
from datetime import UTC, datetime

import pytest
from rich.console import Console

from connectors.importer.overview import overview
from schemas.control import ImportJob
from schemas.import_task import ImportTask
from streams.cli.imports import view_of
from tests.unit.importer.engine_world import REFUSED, SECONDS_A_CALL, Accounts, Engine, in_virtual_time

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LISTS = 300
SLOTS = 4


def import_job(client: str, job_id: str) -> ImportJob:
    return ImportJob(
        id=job_id, authorization_id="a", client_id=client, created_at=NOW, updated_at=NOW, keep_updated=True
    )


def test_300_lists_with_nothing_new_take_a_call_for_each_state_and_fill_the_slots(monkeypatch):
    async def story() -> None:
        accounts = Accounts({"large": LISTS})
        async with Engine(accounts, [import_job("large", "large")], monkeypatch, SLOTS) as engine:
            await engine.until(lambda: _ended(engine, "large", 1), 600)
            run = engine.run("large")
            assert run is not None
            engine.table.put(run.model_copy(update={"requested": True}))
            accounts.calls.clear()
            began = asyncio.get_running_loop().time()
            await engine.until(lambda: _ended(engine, "large", 2), 600)
            took = asyncio.get_running_loop().time() - began
        of_lists = {path: count for path, count in accounts.calls.items() if path.startswith("/lists/")}
        assert set(of_lists.values()) == {LISTS}, "one call for each list and state"
        assert len(of_lists) == 5
        assert accounts.calls.total() <= 5 * LISTS + 5
        assert took <= 1.2 * accounts.calls.total() * SECONDS_A_CALL / SLOTS

    in_virtual_time(story())


@pytest.mark.parametrize("name", ["large", "a:b", "removed", "another"])
def test_a_removed_job_makes_no_more_calls_and_leaves_nothing_whichever_partition_is_its_home(monkeypatch, name):
    """Partitions that saw its records deleted before they looked made a call for each of its chains."""

    async def story() -> None:
        accounts = Accounts({"large": 60, "small": 1})
        jobs = [import_job("large", name)]
        async with Engine(accounts, jobs, monkeypatch, 2) as engine:
            await engine.until(lambda: len(engine.table.waiting(name)) > 200, 60, every=0.1)
            jobs[:] = [import_job("small", "small")]
            await engine.until(lambda: name not in engine.table.jobs(), 1, every=0.1)
            before = accounts.clients["large"]
            await engine.until(lambda: _ended(engine, "small", 1), 10)
            assert accounts.clients["large"] - before <= 2, "those that were in flight"
            assert not engine.table.keys(name)

    in_virtual_time(story())


def test_what_cannot_be_read_is_shown_while_the_run_is_open_and_again_at_its_end(monkeypatch):
    async def story() -> None:
        accounts = Accounts({"large": 40})
        accounts.refused.add("/clients/{}/journeys")
        jobs = [import_job("large", "large")]
        async with Engine(accounts, jobs, monkeypatch, 1) as engine:
            await engine.until(lambda: bool(engine.attention), 10, every=0.1)
            run = engine.run("large")
            assert run is not None
            assert run.state == "open"
            assert "the client's journeys" in (jobs[0].attention or "")
            accounts.refused.add("/lists/{}/deleted")
            await engine.until(lambda: _state(engine, "large") == "incomplete", 600)
            assert len(engine.attention) == 2, "once as soon as it is known, and all of it at the end"
            assert "deleted" in (jobs[0].attention or "")
            accounts.refused.clear()
            for at_end in ([], [("large", None)]):
                engine.attention.clear()
                run = engine.run("large")
                assert run is not None
                if not at_end:
                    engine.table.put(run.model_copy(update={"requested": True}))
                    await engine.until(lambda: _state(engine, "large") == "open", 10, every=0.1)
                else:
                    await engine.until(lambda: _state(engine, "large") == "done", 600)
                assert engine.attention == at_end

    in_virtual_time(story())


@pytest.mark.parametrize("path", ["/clients/{}", "/lists/{}/deleted"])
def test_what_waits_is_shown_while_the_run_is_open_and_no_more_when_it_goes_on(monkeypatch, path):
    """Who takes the permission away keeps a run open for good: nobody was asked to do something about it."""

    async def story() -> None:
        accounts = Accounts({"large": 40})
        accounts.unauthorised.add(path)
        jobs = [import_job("large", "large")]
        async with Engine(accounts, jobs, monkeypatch, 4) as engine:
            await engine.until(lambda: bool(engine.attention), 20, every=0.1)
            assert _state(engine, "large") == "open"
            assert REFUSED in (jobs[0].attention or "")
            for _attempt in range(3):
                calls = accounts.calls[path]
                _try_again(engine, "large")
                await engine.until(lambda calls=calls: accounts.calls[path] > calls, 100)
            assert len(engine.attention) == 1, "shown once, however often it is tried again"
            accounts.refused.add("/clients/{}/journeys")
            accounts.unauthorised.clear()
            await engine.until(lambda: _try_again(engine, "large") and _state(engine, "large") != "open", 600)
            journeys = "the client's journeys" in (jobs[0].attention or "")
            assert journeys == (path == "/clients/{}"), "they were looked for after the access came back, or before"
            assert "refuses" not in (jobs[0].attention or "")

    in_virtual_time(story())


@pytest.mark.parametrize("then", ["heals", "stops"])
def test_what_waited_is_not_shown_any_more_when_it_is_read_or_the_job_is_stopped(monkeypatch, then):
    async def story() -> None:
        accounts = Accounts({"large": 2})
        accounts.unauthorised.add("/lists/{}/active")
        jobs = [import_job("large", "large")]
        async with Engine(accounts, jobs, monkeypatch, 4) as engine:
            await engine.until(lambda: bool(jobs[0].attention), 20, every=0.1)
            if then == "stops":
                jobs[0] = jobs[0].model_copy(update={"state": "stopped"})
            else:
                accounts.unauthorised.clear()
                _try_again(engine, "large")
            await engine.until(lambda: not jobs[0].attention, 100, every=0.1)

    in_virtual_time(story())


def test_a_changed_authorization_wakes_what_waits_for_it_at_once_and_the_attention_names_what_to_do(monkeypatch):
    async def story() -> None:
        accounts = Accounts({"large": 2})
        accounts.unauthorised.add("/clients/{}")
        jobs = [import_job("large", "large")]
        async with Engine(accounts, jobs, monkeypatch, 4) as engine:
            await engine.until(lambda: bool(jobs[0].attention), 5, every=0.1)
            assert REFUSED in (jobs[0].attention or "")
            accounts.unauthorised.clear()
            calls = accounts.calls.total()
            engine.authorized_at["another"] = datetime.now(UTC)
            await asyncio.sleep(5)
            assert accounts.calls.total() == calls
            engine.authorized_at["a"] = datetime.now(UTC)
            await engine.until(lambda: _state(engine, "large") == "done", 20, every=0.1)
            await engine.until(lambda: not jobs[0].attention, 5, every=0.1)

    in_virtual_time(story())


def test_what_failed_or_waits_counts_as_a_problem_while_the_run_is_open_and_is_named_once(monkeypatch):
    async def story() -> None:
        accounts = Accounts({"large": 2})
        accounts.refused.add("/clients/{}/journeys")
        accounts.unauthorised.add("/lists/{}/active")
        jobs = [import_job("large", "large").model_copy(update={"lists": ["large-0", "gone"]})]
        async with Engine(accounts, jobs, monkeypatch, 4) as engine:
            await engine.until(lambda: any(c.state == "parked" for c in engine.table.waiting("large").values()), 5, 0.1)
            run = engine.run("large")
            assert run is not None
            assert run.state == "open"
            found = overview(run, engine.table.chains("large").values())
            assert found.problems == 3
            console = Console(width=200)
            with console.capture() as shown:
                console.print(view_of(found, 0, NOW, NOW))
            lines = [line for line in shown.get().splitlines() if "gone" in line or "client's journeys" in line]
            assert [("failed:" in line, "done" in line) for line in lines] == [(True, False)] * 2
            accounts.unauthorised.clear()
            engine.authorized_at["a"] = datetime.now(UTC)
            await engine.until(lambda: _state(engine, "large") == "incomplete", 60)
            await engine.until(lambda: bool(jobs[0].attention), 5)
            assert "list gone: the client has no list" in (jobs[0].attention or "")
            assert "the client's journeys: cannot be read" in (jobs[0].attention or "")

    in_virtual_time(story())


def _try_again(engine: Engine, job_id: str) -> bool:
    """Let the time come at which what is parked is tried again: it is that of the machine. Return True."""
    for chain in list(engine.table.waiting(job_id).values()):
        if chain.state == "parked":
            engine.table.put(chain.model_copy(update={"retry_at": None}))
    return True


def _state(engine: Engine, job_id: str) -> str | None:
    run = engine.run(job_id)
    return None if run is None else run.state


@pytest.mark.parametrize("path", ["journeys", "campaigns", "lists"])
def test_a_part_of_the_discovery_that_is_not_answered_holds_up_nothing_else_and_is_read_later(monkeypatch, path):
    async def story() -> None:
        accounts = Accounts({"large": 3})
        accounts.failing.add(f"/clients/{{}}/{path}")
        jobs = [import_job("large", "large")]
        async with Engine(accounts, jobs, monkeypatch, 4) as engine:
            await engine.until(lambda: _parked(engine) == (2 if path == "lists" else 1), 60, every=0.1)
            await engine.until(lambda: bool(jobs[0].attention), 5, every=0.1)
            chains = engine.table.chains("large")
            assert chains["discover"].state == "done"
            assert any(name.startswith("users/") for name in chains) == (path != "lists")
            assert accounts.calls["/clients/{}/suppressionlist"] == 1
            accounts.failing.clear()
            await engine.until(lambda: _try_again(engine, "large") and _state(engine, "large") == "done", 100)
            assert sum(name.startswith("users/") for name in chains) == 5 * 3
            assert accounts.calls["/clients/{}/suppressionlist"] == 1, "begun once"

    in_virtual_time(story())


def test_a_listing_that_is_never_answered_does_not_hold_up_what_comes_later(monkeypatch):
    async def story() -> None:
        accounts = Accounts({"large": 2})
        accounts.failing.add("/lists/{}/active")
        jobs = [import_job("large", "large").model_copy(update={"keep_updated": False})]
        async with Engine(accounts, jobs, monkeypatch, 4) as engine:
            await engine.until(lambda: _parked(engine) == 2 and len(engine.table.waiting("large")) == 2, 60)
            assert _state(engine, "large") == "open"
            accounts.lists["large"] = 3
            engine.request(ImportTask(job_id="large", run=0, chain="start", kind="start", started_at=NOW))
            await engine.until(lambda: "users/large-2/deleted" in engine.table.chains("large"), 60)
            accounts.failing.clear()
            await engine.until(lambda: _try_again(engine, "large") and _state(engine, "large") == "done", 100)
            assert {engine.table.mark("large", f"users/large-{number}/active") is not None for number in range(3)} == {
                True
            }

    in_virtual_time(story())


def _parked(engine: Engine) -> int:
    return sum(chain.state == "parked" for chain in engine.table.waiting("large").values())


def _ended(engine: Engine, job_id: str, number: int) -> bool:
    run = engine.run(job_id)
    return run is not None and run.run >= number and run.state == "done"
