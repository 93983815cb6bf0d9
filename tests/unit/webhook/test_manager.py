"""The manager brings every list to one working webhook, and stores what does not work where people see it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.client.entities import ClientDetails, ListRef, Webhook
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Forbidden, Misconfigured, NotFound, Transient, Verdict
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.body import path_of
from connectors.webhook.registration import loops
from connectors.webhook.registration.manager import HookManager
from connectors.webhook.registration.registrations import Registrations
from connectors.webhook.settings import WebhookSettings
from schemas.control import ImportJob, WebhookRegistration
from tests.deadline import eventually

NOW = datetime(2026, 5, 2, tzinfo=UTC)
SECRET = SecretStr("a-secret-of-the-deployment")
PUBLIC = "https://hooks.example.com"
URL = PUBLIC + path_of(SECRET, "l1")
JUST_NOW = datetime.now(UTC) + timedelta(hours=1)  # however long the tests take
JOB = ImportJob(id="j", authorization_id="a", client_id="c", keep_updated=True, created_at=JUST_NOW, updated_at=NOW)
BROKEN = CampaignMonitorError("no", Misconfigured(610))


class FakeRegistrations:
    """The table of `cm_webhooks`, in memory; every write in order."""

    def __init__(self) -> None:
        self.models: dict[str, WebhookRegistration] = {}
        self.written: list[WebhookRegistration] = []

    def get(self, list_id: str) -> WebhookRegistration | None:
        return self.models.get(list_id)

    def all(self) -> dict[str, WebhookRegistration]:
        return self.models

    async def write(self, list_id: str, registration: WebhookRegistration) -> WebhookRegistration:
        self.models[list_id] = registration
        self.written.append(registration)
        return registration

    async def remove(self, list_id: str) -> None:
        del self.models[list_id]


class FakeAccount:
    """An account with one list, its webhooks, and the calls that were made."""

    def __init__(self) -> None:
        self.clients = self
        self.webhooks = self
        self.hooks: dict[str, str] = {}
        self.active: dict[str, bool] = {}
        self.tested: list[str] = []
        self.failing_test = False
        self.failing_lists = False
        self.list_ids = ["l1"]
        self.failing_deletes: Verdict | None = None
        self.failing_once = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.calls = 0
        self.at_once = self.max_at_once = 0
        self._number = 0

    async def _call(self) -> None:
        self.calls += 1
        self.at_once += 1
        self.max_at_once = max(self.max_at_once, self.at_once)
        await asyncio.sleep(0)
        await self.answers.wait()
        self.at_once -= 1

    async def details(self, client_id: str) -> ClientDetails:
        return ClientDetails(client_id, "Acme", "", "BE", {})

    async def lists(self, _client_id: str) -> list[ListRef]:
        if self.failing_lists:
            raise BROKEN
        return [ListRef(list_id, "News") for list_id in self.list_ids]

    async def all(self, list_id: str) -> list[Webhook]:
        await self._call()
        events = ("Subscribe", "Update", "Deactivate")
        state = {True: "Active", False: "Deactivated"}
        return [
            Webhook(name, events, url, state[self.active[name]], "json")
            for name, url in self.hooks.items()
            if f"/hooks/{list_id}/" in url
        ]

    async def create(self, _list_id: str, url: str) -> str:
        await self._call()
        self._number += 1
        name = f"hook{self._number}"
        self.hooks[name], self.active[name] = url, True
        return name

    async def activate(self, _list_id: str, name: str) -> None:
        self.active[name] = True

    async def test(self, _list_id: str, name: str) -> None:
        self.tested.append(self.hooks[name])
        if self.failing_once:
            self.failing_once = False
            raise CampaignMonitorError("busy", Transient(503))
        if self.failing_test:
            raise BROKEN

    async def delete(self, _list_id: str, name: str) -> None:
        await self._call()
        if self.failing_deletes:
            raise CampaignMonitorError("no", self.failing_deletes)
        del self.hooks[name]


class Setting:
    """A manager between the fakes."""

    def __init__(self) -> None:
        self.account = FakeAccount()
        self.others: dict[str, FakeAccount] = {}
        """Accounts of other authorizations than JOB's, by id."""
        self.registrations = FakeRegistrations()
        self.jobs = [JOB]
        self.requested: list[tuple[WebhookRegistration, datetime]] = []
        self.attention: dict[str, str | None] = {}
        self.states: list[list[str]] = []
        self.hooks_then: list[int] = []
        self.exported: set[str] = set()

        async def open_api(authorization_id: str) -> FakeAccount:
            return self.others.get(authorization_id, self.account)

        async def request_missed_changes(hook: WebhookRegistration, since: datetime, states: list[str]) -> None:
            self.requested.append((hook, since))
            self.states.append(states)
            self.hooks_then.append(len(self.account.hooks))

        self.runs: list[str] = []

        async def request_run(job_id: str) -> None:
            self.runs.append(job_id)

        async def set_attention(job_id: str, attention: str | None) -> None:
            self.attention[job_id] = attention

        def manager(public_url: str) -> HookManager:
            return HookManager(
                WebhookSettings(secret=SECRET, public_url=public_url),
                jobs=lambda: self.jobs,
                registrations=self.registrations,
                open_api=open_api,
                set_attention=set_attention,
                request_run=request_run,
                request_missed_changes=request_missed_changes,
                exported=self.exported.__contains__,
            )

        self.manager_at = manager
        self.manager = manager(PUBLIC)


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_a_list_is_known_to_receivers_before_its_webhook_is_created_and_tried_out(setting):
    await setting.manager.check()
    first, last = setting.registrations.written
    assert (first.state, first.webhook_id) == ("missing", None)
    assert (last.state, last.webhook_id, last.job_ids) == ("active", "hook2", ["j"])
    assert setting.account.hooks == {"hook2": URL}, "the one for the sample was removed"
    assert setting.account.tested == [PUBLIC + path_of(SECRET, "l1", sample=True)]


async def test_a_webhook_that_cannot_be_reached_is_removed_and_the_problem_stored(setting):
    setting.account.failing_test = True
    await setting.manager.check()
    registration = setting.registrations.models["l1"]
    assert (registration.state, setting.account.hooks) == ("failed", {})
    assert "the webhook of list News does not work" in registration.problem
    setting.account.failing_test = False
    await setting.manager.check()
    assert setting.registrations.models["l1"].state == "active"


async def test_what_a_deactivated_webhook_missed_is_requested(setting):
    await setting.manager.check()
    seen = setting.registrations.models["l1"].seen_active_at
    setting.account.active["hook2"] = False
    await setting.manager.check()
    ((hook, since),) = setting.requested
    assert (hook.list_id, hook.job_ids) == ("l1", ["j"])
    assert since <= seen - timedelta(days=7)
    assert setting.account.active["hook2"]


@pytest.mark.parametrize("kept_updated", [True, False])
async def test_reports_of_what_was_missed_are_read_by_one_run(setting, kept_updated):
    setting.jobs[:] = [JOB.model_copy(update={"keep_updated": kept_updated})]
    setting.account.list_ids = ["l1", "l2"]
    await setting.manager.check()
    assert setting.runs == []
    for hook in setting.account.active:
        setting.account.active[hook] = False
    await setting.manager.check()
    await setting.manager.check()
    assert len(setting.requested) == 2
    assert setting.runs == ([] if kept_updated else ["j"]), "one that is kept updated has its next run soon"


async def test_a_webhook_is_removed_with_its_job_but_not_while_lists_cannot_be_read(setting):
    await setting.manager.check()
    setting.account.failing_lists = True
    assert not await setting.manager.check()
    assert setting.account.hooks, "its job may still want it"
    setting.jobs.clear()
    assert await setting.manager.check()
    assert (setting.account.hooks, setting.registrations.models) == ({}, {})


async def test_a_job_whose_lists_cannot_be_read_keeps_no_other_jobs_webhooks(setting):
    await setting.manager.check()
    setting.account.failing_lists = True
    setting.jobs[:] = [JOB.model_copy(update={"id": "another"})]
    await setting.manager.check()
    assert setting.account.hooks == {}
    assert setting.registrations.models["l1"].state == "removed", "it may have the list: events are missing since now"


async def test_a_webhook_that_could_not_be_removed_is_removed_by_the_next_check(setting):
    await setting.manager.check()
    setting.jobs.clear()
    setting.account.failing_deletes = Transient(503)
    assert not await setting.manager.check()
    setting.account.failing_deletes = None
    assert await setting.manager.check()
    assert (setting.account.hooks, setting.registrations.models) == ({}, {})


async def test_a_check_that_failed_is_repeated_soon(setting, monkeypatch):
    monkeypatch.setattr(loops, "RETRY_SECONDS", 0.01)
    setting.account.failing_lists = True
    working = asyncio.create_task(setting.manager.run(asyncio.Event(), 300))
    await asyncio.sleep(0.05)
    setting.account.failing_lists = False
    await eventually(lambda: setting.account.hooks)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_an_account_that_waits_holds_up_no_other(setting):
    """One that was throttled kept the job of another account without a webhook for 76 s."""
    setting.account.list_ids = [f"l{number}" for number in range(30)]
    setting.account.answers.clear()
    setting.others["b"] = other = FakeAccount()
    other.list_ids = ["m1"]
    changed = asyncio.Event()
    working = asyncio.create_task(setting.manager.run(changed, 300))
    try:
        await eventually(lambda: setting.account.at_once == 16)
        setting.jobs.append(JOB.model_copy(update={"id": "k", "authorization_id": "b", "client_id": "d"}))
        changed.set()
        await eventually(lambda: other.hooks)
        setting.jobs.pop()
        changed.set()
        await eventually(lambda: not other.hooks and "m1" not in setting.registrations.models)
        setting.account.answers.set()
        await eventually(lambda: len(setting.account.hooks) == 30)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_what_happened_while_the_job_was_stopped_is_requested_when_it_is_started(setting):
    await setting.manager.check()
    seen = setting.registrations.models["l1"].seen_active_at
    setting.jobs[:] = [JOB.model_copy(update={"state": "stopped"})]
    await setting.manager.check()
    assert setting.account.hooks == {}
    assert setting.registrations.models["l1"].state == "removed"
    calls = setting.account.calls
    await setting.manager.check()
    assert setting.account.calls == calls, "removed once"
    setting.jobs[:] = [JOB]
    await setting.manager.check()
    ((hook, since),) = setting.requested
    assert (hook.list_id, hook.job_ids) == ("l1", ["j"])
    assert since == seen
    assert setting.registrations.models["l1"].state == "active"
    setting.jobs.clear()
    await setting.manager.check()
    assert (setting.account.hooks, setting.registrations.models) == ({}, {})


async def test_a_stopped_job_that_shares_the_list_keeps_since_when_events_are_missing(setting):
    """The list was registered for the other job alone, and forgotten with it."""
    stopped = JOB.model_copy(update={"id": "stopped", "state": "stopped", "lists": ["l1"]})
    setting.jobs.append(stopped)
    await setting.manager.check()
    seen = setting.registrations.models["l1"].seen_active_at
    setting.jobs[:] = [stopped, JOB.model_copy(update={"id": "elsewhere", "client_id": "d", "state": "stopped"})]
    await setting.manager.check()
    assert (setting.account.hooks, setting.registrations.models["l1"].state) == ({}, "removed")
    setting.jobs[0] = stopped.model_copy(update={"state": "running"})
    await setting.manager.check()
    ((hook, since),) = setting.requested
    assert hook.job_ids == ["stopped"]
    assert since == seen
    setting.jobs[:] = setting.jobs[1:]
    await setting.manager.check()
    assert setting.registrations.models == {}, "a job of another client does not keep it"


async def test_a_changed_public_url_moves_the_webhooks_and_leaves_others_alone(setting):
    await setting.manager.check()
    theirs = {"theirs": "https://others.example.com/hooks/l1/token"}
    setting.account.hooks |= theirs
    setting.account.active["theirs"] = True
    moved = setting.manager_at("https://moved.example.com")
    setting.account.failing_test = True
    await moved.check()
    assert setting.account.hooks["hook2"] == URL, "the one before works until the new one does"
    setting.account.failing_test = False
    await moved.check()
    assert set(setting.account.hooks.values()) == {
        "https://moved.example.com" + path_of(SECRET, "l1"),
        *theirs.values(),
    }
    setting.jobs.clear()
    await moved.check()
    assert setting.account.hooks == theirs


async def test_300_webhooks_are_made_and_removed_in_two_calls_each_many_at_once(setting):
    setting.account.list_ids = [f"l{number}" for number in range(300)]
    await setting.manager.check()
    assert len(setting.account.hooks) == 300
    assert len(setting.account.tested) == 1, "the address is one for all lists"
    assert setting.account.calls <= 610
    assert setting.account.max_at_once >= 4
    before = setting.account.calls
    setting.jobs.clear()
    await setting.manager.check()
    assert setting.account.hooks == {}
    assert setting.account.calls - before <= 600


async def test_without_a_public_url_the_job_shows_it_and_nothing_is_registered(setting):
    await setting.manager_at("").check()
    assert "WEBHOOK_PUBLIC_URL" in setting.attention["j"]
    assert setting.account.hooks == {}


async def test_without_a_public_url_lists_are_polled_once_an_interval_and_a_webhook_goes_on_from_there(setting):
    began = datetime.now(UTC) - timedelta(hours=2)
    kept = JOB.model_copy(update={"keep_updated": True, "interval_seconds": 3600, "created_at": began})
    setting.jobs[:] = [kept]
    without = setting.manager_at("")
    for _check in range(2):
        await without.check()
    assert [since for _hook, since in setting.requested] == [began]
    assert setting.states == [["active", "unsubscribed", "bounced", "deleted"]]
    polled = setting.registrations.models["l1"]
    an_hour_ago = datetime.now(UTC) - timedelta(minutes=61)
    setting.registrations.models["l1"] = polled.model_copy(update={"seen_active_at": an_hour_ago})
    setting.exported.add("l1")
    await without.check()
    assert setting.requested[1:] == [(setting.requested[1][0], an_hour_ago)]
    assert setting.states[1] == ["unsubscribed", "bounced", "deleted"], "most who are active are our own writes"
    last = setting.registrations.models["l1"].seen_active_at
    await setting.manager.check()
    assert (setting.requested[2][1], setting.hooks_then[2]) == (last, 1), "once the webhook is there"
    assert setting.registrations.models["l1"].state == "active"


async def test_only_jobs_that_are_kept_updated_are_polled_and_what_is_kept_ends_with_the_job(setting):
    began = datetime.now(UTC) - timedelta(days=2)
    once = JOB.model_copy(update={"keep_updated": False, "created_at": began})
    setting.jobs[:] = [once]
    await setting.manager_at("").check()
    assert setting.requested == []
    setting.jobs[:] = [once.model_copy(update={"keep_updated": True})]
    await setting.manager_at("").check()
    assert "l1" in setting.registrations.models
    setting.jobs[:] = [once.model_copy(update={"state": "stopped"})]
    await setting.manager_at("").check()
    assert "l1" in setting.registrations.models, "it holds since when events are missing"
    setting.jobs.clear()
    await setting.manager_at("").check()
    assert setting.registrations.models == {}


@pytest.mark.parametrize("verdict", [NotFound(101, "list"), Forbidden(403, "denied")])
async def test_where_nothing_can_be_removed_any_more_the_registration_ends(setting, verdict):
    await setting.manager.check()
    setting.jobs.clear()
    setting.account.failing_deletes = verdict
    assert await setting.manager.check()
    assert setting.registrations.models == {}


async def test_only_a_trial_that_names_our_address_fails_for_all_lists(setting):
    setting.account.list_ids = ["l1", "l2", "l3"]
    setting.account.failing_once = True
    assert not await setting.manager.check()
    states = [registration.state for registration in setting.registrations.models.values()]
    assert sorted(states) == ["active", "active", "failed"]
    assert await setting.manager.check()
    setting.account.hooks.clear()
    setting.account.failing_test = True
    tested = len(setting.account.tested)
    assert not await setting.manager.check()
    assert len(setting.account.tested) == tested + 1
    assert {registration.state for registration in setting.registrations.models.values()} == {"failed"}


def test_events_of_a_list_whose_webhook_was_removed_are_not_accepted():
    registrations = Registrations(KafkaSettings(_env_file=None, bootstrap_servers="nowhere:1"), None, {})
    known = WebhookRegistration(
        list_id="l1",
        client_id="c",
        time_zone="(GMT) Coordinated Universal Time",
        job_ids=["j"],
        authorization_id="a",
        state="active",
        updated_at=NOW,
    )
    registrations._models["l1"] = known
    assert registrations.hooked_list("l1").job_id == "j"
    registrations._models["l1"] = known.model_copy(update={"state": "removed"})
    assert registrations.hooked_list("l1") is None
    assert registrations.hooked_list("l2") is None
