"""Jobs as a file: what is printed changes nothing, applied twice is applied once, and names have one meaning."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.control.jobs import ExportOrImportJob
from schemas.control import Authorization, ExportJob, ImportJob
from schemas.jobs_file import SYSTEM_FIELDS, ExportDeclaration, ImportDeclaration
from streams.control.declared_jobs import (
    PlannedJob,
    UnresolvedNameError,
    WrongFileError,
    file_of,
    pick,
    plan_jobs,
    read_file,
    resolved,
)
from tests.unit.console.test_option_forms import EXPORTS, IMPORTS

NOW = datetime(2026, 5, 2, tzinfo=UTC)
LATER = datetime(2026, 5, 3, tzinfo=UTC)
CLIENT, LIST = "c" * 32, "1" * 32
ACCESS = {"a": Authorization(id="a", description="Acme", kind="api_key", sealed="s", key_id="k", updated_at=NOW)}
FILE = f"""
jobs:
  - {{id: e, kind: export, authorization: Acme, client: {CLIENT}, list: "{LIST}", audiences: [vip]}}
  - {{id: i, kind: import, authorization: a, client: {CLIENT}, keep_updated: true, state: stopped}}
"""


async def no_account(_authorization: str) -> Any:
    raise AssertionError("ids are not looked up")


async def planned(text: str, present: dict[str, ExportOrImportJob], *, prune: bool = False) -> list[PlannedJob]:
    declared = {}
    for job in read_file(text):
        options = await resolved(job, ACCESS, no_account)
        declared[job.id] = ExportJob if isinstance(job, ExportDeclaration) else ImportJob, options
    return plan_jobs(declared, present, LATER, prune=prune)  # type: ignore[arg-type]


def done(plan: list[PlannedJob]) -> dict[str, ExportOrImportJob]:
    return {step.job_id: step.after for step in plan if step.after is not None}


def usable(job: ExportOrImportJob) -> ExportOrImportJob:
    ids: dict[str, Any] = {"authorization_id": "a", "client_id": CLIENT}
    ids |= {"list_id": LIST} if isinstance(job, ExportJob) else {"lists": [LIST] if job.lists else []}
    return job.model_copy(update=ids)


@settings(max_examples=60, deadline=None)
@given(st.lists(EXPORTS | IMPORTS, max_size=4, unique_by=lambda job: job.id))
async def test_what_is_printed_changes_nothing(jobs: list[Any]) -> None:
    present = {job.id: usable(job) for job in jobs}
    plan = await planned(file_of(present.values()), present, prune=True)
    assert [(step.action, step.changes) for step in plan] == [("unchanged", [])] * len(present)
    assert done(plan) == present


async def test_a_file_is_applied_once() -> None:
    first = await planned(FILE, {})
    assert [step.action for step in first] == ["create", "create"]
    made = done(first)
    assert (made["e"].authorization_id, made["e"].state, made["i"].state) == ("a", "running", "stopped")
    assert [step.action for step in await planned(FILE, made)] == ["unchanged", "unchanged"]
    changed = await planned(FILE.replace("[vip]", "[vip, new]"), made)
    assert [step.action for step in changed] == ["edit", "unchanged"]
    assert [tuple(change) for change in changed[0].changes] == [("audiences", '["vip"]', '["vip","new"]')]


async def test_what_is_not_in_the_file_has_its_default_and_other_jobs_stay_without_prune() -> None:
    made = done(await planned(FILE, {}))
    fewer = FILE.replace(", audiences: [vip]", "").partition("  - {id: i")[0]
    assert [step.action for step in await planned(fewer, made)] == ["edit", "not in the file"]
    pruned = await planned(fewer, made, prune=True)
    assert [step.action for step in pruned] == ["edit", "remove"]
    assert done(pruned).keys() == {"e"}


async def test_an_export_that_never_ran_counts_from_its_start() -> None:
    stopped = FILE.replace("audiences: [vip]", "state: stopped")
    made = done(plan_jobs({}, {}, NOW, prune=False) + await planned(stopped, {}))
    assert made["e"].state == "stopped"
    old = {"e": made["e"].model_copy(update={"started_at": NOW, "created_at": NOW, "updated_at": NOW})}
    (step, *_) = await planned(stopped.replace("state: stopped}", "state: running}", 1), old)
    assert isinstance(step.after, ExportJob)
    assert (step.after.state, step.after.started_at) == ("running", LATER)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jobs: [", "no YAML"),
        ("[]", "the file"),
        ("jobs:\n - {id: e, kind: export}", "authorization: Field required"),
        (FILE.replace("audiences", "audience"), "audience: Extra inputs"),
        (FILE.replace("keep_updated: true", "interval_seconds: 5"), "interval_seconds"),
        (FILE.replace("keep_updated: true", "keep_updated: often"), "keep_updated"),
        (FILE.replace("id: i", "id: e"), "several jobs with the id e"),
        (FILE + FILE.lstrip(), "jobs comes 2 times"),
        (FILE.replace("{id: e,", "{id: e, id: f,"), "id comes 2 times"),
    ],
)
def test_a_wrong_file_is_named(text: str, words: str) -> None:
    with pytest.raises(WrongFileError) as refused:
        read_file(text)
    assert words in str(refused.value)


async def test_a_job_stays_of_its_kind() -> None:
    made = done(await planned(FILE, {}))
    with pytest.raises(WrongFileError, match="cannot become another kind"):
        await planned(FILE, {"e": made["i"].model_copy(update={"id": "e"})})


def test_a_name_that_several_have_is_refused() -> None:
    known = [("1", "News"), ("2", "News"), ("3", "Shoes"), ("Shoes", "Boots")]
    assert pick("list", "1", known) == "1"
    assert pick("list", "Boots", known) == "Shoes"
    assert pick("list", "Shoes", known) == "Shoes", "an id counts more than a name"
    with pytest.raises(UnresolvedNameError, match="name of several: use one of the ids 1, 2"):
        pick("list", "News", known)
    with pytest.raises(UnresolvedNameError, match="is not there; there are: 1"):
        pick("list", "Hats", known)


def test_every_option_of_a_job_is_an_option_of_the_file() -> None:
    for model, declaration in ((ExportJob, ExportDeclaration), (ImportJob, ImportDeclaration)):
        named = {"authorization_id", "client_id", "list_id", "lists"}
        assert set(model.model_fields) - SYSTEM_FIELDS - named <= set(declaration.model_fields)
