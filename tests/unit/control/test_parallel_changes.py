"""Changes of the same job or user that overlap in one process: each is seen by the next, and none is lost."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from connectors.control import authorizations as control_authorizations
from connectors.control import jobs as control_jobs
from connectors.control import table
from connectors.control import users as control_users
from connectors.control.authorizations import AuthorizationInUseError, Authorizations, UnknownAuthorizationError
from connectors.control.jobs import Jobs
from connectors.control.users import Users
from connectors.kafka.records import ConsumedRecord, Position
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization, ConsoleUser, ExportJob
from streams.console.access.passwords import Passwords
from streams.console.access.user_changes import change_user
from streams.control.declared_jobs import PlannedJob, apply_plan
from streams.control.job_edits import StaleEditError, edited, option_values, write_edit

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EXPORT = ExportJob(
    id="e", authorization_id="a", client_id="c", list_id="l", created_at=NOW, updated_at=NOW, started_at=NOW
)
ANN = ConsoleUser(name="ann", role="admin", password_hash="1", updated_at=NOW)
VIC = ConsoleUser(name="vic", role="admin", password_hash="1", updated_at=NOW)


class SlowTopic:
    """Compacted topics whose records come back only after others had their turn."""

    def __init__(self) -> None:
        self.offset = 0
        self.merges = {}

    def view(self, _settings, topic, on_change):
        self.merges[topic] = on_change
        return self

    async def catch_up(self) -> None:
        await asyncio.sleep(0)

    async def publish(self, topic, key, value, *, partition=None) -> Position:
        await asyncio.sleep(0.01)
        self.offset += 1
        self.merges[topic](ConsumedRecord(topic, 0, self.offset, key, value, 0, ()))
        return Position(topic, 0, self.offset)

    async def wait_for(self, _position) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def topic(monkeypatch) -> SlowTopic:
    slow = SlowTopic()
    monkeypatch.setattr(table, "CompactedTopic", slow.view)
    lock = asyncio.Lock()

    @asynccontextmanager
    async def alone(*_names):
        async with lock:
            yield

    for user in (control_users, control_authorizations):
        monkeypatch.setattr(user, "exclusive", alone)
    return slow


@pytest.fixture
async def jobs(topic) -> Jobs:
    found = Jobs(KafkaSettings(), topic)
    await found.put(EXPORT)
    return found


async def test_of_two_edits_of_what_both_have_read_one_is_refused(jobs):
    seen = option_values(jobs.known("e"))
    edits = [edited(jobs.known("e"), {"name": name}, NOW) for name in ("one", "two")]
    found = await asyncio.gather(*(write_edit(jobs, seen, after) for after in edits), return_exceptions=True)
    assert sorted(isinstance(answer, StaleEditError) for answer in found) == [False, True]
    (written,) = (answer for answer in found if not isinstance(answer, StaleEditError))
    assert jobs.known("e") == written


async def test_a_stop_beside_an_edit_loses_neither(jobs):
    before = jobs.known("e")
    await asyncio.gather(
        write_edit(jobs, option_values(before), edited(before, {"name": "new"}, NOW)),
        jobs.set_state("e", "stopped"),
    )
    assert (jobs.known("e").name, jobs.known("e").state) == ("new", "stopped")


async def test_what_is_changed_is_what_was_seen(jobs):
    def is_running(job):
        if job.state != "running":
            raise StaleEditError([])

    changes = [jobs.change("e", state="stopped", seen=is_running), jobs.remove("e", seen=is_running)]
    found = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(answer) for answer in found] == [ExportJob, StaleEditError]
    assert jobs.known("e").state == "stopped"


async def test_a_job_is_added_once_however_many_ask(jobs):
    new = [EXPORT.model_copy(update={"id": "n", "name": f"{number}"}) for number in range(3)]
    found = await asyncio.gather(*(jobs.add(job) for job in new), return_exceptions=True)
    assert [type(answer) for answer in found].count(control_jobs.JobExistsError) == 2
    assert [answer for answer in found if isinstance(answer, ExportJob)] == [jobs.known("n")]


@pytest.mark.parametrize("turns", range(6))
async def test_of_a_job_and_the_removal_of_what_it_uses_one_is_refused(topic, turns):
    """Whichever comes first: no job is left with an authorization that is not there."""
    authorizations = Authorizations(KafkaSettings(), topic)
    access = Authorization(id="a", description="A", kind="api_key", sealed="s", key_id="k", updated_at=NOW)
    await authorizations.write("a", access)
    jobs = Jobs(KafkaSettings(), topic, needs=authorizations.known)

    async def make():
        for _ in range(turns):
            await asyncio.sleep(0.003)
        return await jobs.add(EXPORT)

    found = await asyncio.gather(make(), authorizations.remove_unused("a", jobs), return_exceptions=True)
    refused = [type(answer) for answer in found if isinstance(answer, Exception)]
    assert refused in ([AuthorizationInUseError], [UnknownAuthorizationError])
    assert bool(jobs.all()) is bool(authorizations.all())


async def test_an_edit_gives_no_job_an_authorization_that_is_gone(topic):
    authorizations = Authorizations(KafkaSettings(), topic)
    jobs = Jobs(KafkaSettings(), topic, needs=authorizations.known)
    jobs._merge(ConsumedRecord("t", 0, 0, b"e", EXPORT.to_bytes(), 0, ()))
    before = jobs.known("e")
    await write_edit(jobs, option_values(before), edited(before, {"name": "new"}, NOW))
    with pytest.raises(UnknownAuthorizationError):
        await write_edit(jobs, option_values(jobs.known("e")), edited(before, {"authorization_id": "gone"}, NOW))
    assert jobs.known("e").authorization_id == "a"


async def test_a_job_that_was_edited_since_it_was_planned_to_be_removed_stays(jobs):
    planned = PlannedJob("remove", "e", jobs.known("e"), None, [])
    await jobs.set_state("e", "stopped")
    with pytest.raises(StaleEditError):
        await apply_plan(jobs, [planned])
    await apply_plan(jobs, [planned._replace(before=jobs.known("e"))])
    assert jobs.all() == {}


async def test_a_password_that_is_hashed_meanwhile_gives_nobody_their_role_back(topic):
    users = Users(KafkaSettings(), topic)
    for user in (ANN, VIC):
        await users.add(user)
    passwords = Passwords()
    await asyncio.gather(
        change_user(users, passwords, "vic", None, "correct horse battery"),
        change_user(users, passwords, "vic", "viewer", None),
    )
    assert users.known("vic").role == "viewer"
    assert users.known("vic").password_hash.startswith("$argon2id$")


async def test_a_record_under_the_key_of_another_is_nobody(topic):
    users, mallory = Users(KafkaSettings(), topic), ANN.model_copy(update={"name": "mallory"})
    await users.add(ANN)
    for key in (b"ann", b"eve", b""):
        await topic.publish("cm_console_users", key, mallory.to_bytes())
    assert users.all() == {"ann": ANN}
    jobs = Jobs(KafkaSettings(), topic)
    await topic.publish("cm_jobs", b"other", EXPORT.to_bytes())
    assert jobs.all() == {}
