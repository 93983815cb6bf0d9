"""The manager brings every list to one working webhook, and stores what does not work where people see it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.client.entities import ClientDetails, ListRef, Webhook
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Misconfigured
from connectors.webhook.body import path_of
from connectors.webhook.registration.manager import HookManager
from connectors.webhook.settings import WebhookSettings
from schemas.control import ImportJob, WebhookRegistration
from schemas.import_task import ImportTask
from schemas.topics import TopicNames

NOW = datetime(2026, 5, 2, tzinfo=UTC)
SECRET = SecretStr("a-secret-of-the-deployment")
PUBLIC = "https://hooks.example.com"
URL = PUBLIC + path_of(SECRET, "l1")
JOB = ImportJob(id="j", authorization_id="a", client_id="c", keep_updated=True, created_at=NOW, updated_at=NOW)
BROKEN = CampaignMonitorError("no", Misconfigured(610))


class FakeRegistrations:
    """The table of `cm_webhooks`, in memory; every write in order."""

    def __init__(self) -> None:
        self.models: dict[str, WebhookRegistration] = {}
        self.written: list[WebhookRegistration] = []

    def get(self, list_id: str) -> WebhookRegistration | None:
        return self.models.get(list_id)

    def all(self) -> dict[str, WebhookRegistration]:
        return dict(self.models)

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
        self._number = 0

    async def details(self, client_id: str) -> ClientDetails:
        return ClientDetails(client_id, "Acme", "", "BE", {})

    async def lists(self, _client_id: str) -> list[ListRef]:
        if self.failing_lists:
            raise BROKEN
        return [ListRef("l1", "News")]

    async def all(self, _list_id: str) -> list[Webhook]:
        events = ("Subscribe", "Update", "Deactivate")
        state = {True: "Active", False: "Deactivated"}
        return [Webhook(name, events, url, state[self.active[name]], "json") for name, url in self.hooks.items()]

    async def create(self, _list_id: str, url: str) -> str:
        self._number += 1
        name = f"hook{self._number}"
        self.hooks[name], self.active[name] = url, True
        return name

    async def activate(self, _list_id: str, name: str) -> None:
        self.active[name] = True

    async def test(self, _list_id: str, name: str) -> None:
        self.tested.append(self.hooks[name])
        if self.failing_test:
            raise BROKEN

    async def delete(self, _list_id: str, name: str) -> None:
        del self.hooks[name]


class Setting:
    """A manager between the fakes."""

    def __init__(self) -> None:
        self.account = FakeAccount()
        self.registrations = FakeRegistrations()
        self.jobs = [JOB]
        self.requested: list[ImportTask] = []

        async def open_api(_authorization_id: str) -> FakeAccount:
            return self.account

        async def publish(_topic: str, _key: bytes, value: bytes) -> None:
            self.requested.append(ImportTask.from_bytes(value))

        self.manager = HookManager(
            WebhookSettings(secret=SECRET, public_url=PUBLIC),
            SimpleNamespace(publish=publish),
            TopicNames(),
            jobs=lambda: self.jobs,
            registrations=self.registrations,
            open_api=open_api,
        )


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_a_list_is_known_to_receivers_before_its_webhook_is_created_and_tried_out(setting):
    await setting.manager.check()
    first, last = setting.registrations.written
    assert (first.state, first.webhook_id) == ("missing", None)
    assert (last.state, last.webhook_id, last.job_ids) == ("active", "hook1", ["j"])
    assert setting.account.hooks == {"hook1": URL}, "the one for the sample was removed"
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
    setting.account.active["hook1"] = False
    await setting.manager.check()
    (task,) = setting.requested
    assert (task.kind, task.list_ids) == ("gap", ["l1"])
    assert datetime.fromisoformat(task.since) <= seen - timedelta(days=7)
    assert setting.account.active["hook1"]


async def test_a_webhook_is_removed_with_its_job_but_not_while_lists_cannot_be_read(setting):
    await setting.manager.check()
    setting.account.failing_lists = True
    await setting.manager.check()
    assert setting.account.hooks, "its job may still want it"
    setting.jobs.clear()
    await setting.manager.check()
    assert (setting.account.hooks, setting.registrations.models) == ({}, {})
