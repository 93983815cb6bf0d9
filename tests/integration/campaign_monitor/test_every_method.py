"""Accounts, clients, lists, subscribers, segments and webhooks against the simulated Campaign Monitor."""

import pytest

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.caller import pages
from connectors.campaign_monitor.client.requests import (
    BY_EMAIL,
    STATES,
    Autoresponders,
    FieldWrite,
    Paging,
    SubscriberWrite,
)
from connectors.campaign_monitor.dates import zone_of
from connectors.campaign_monitor.errors.exceptions import (
    FieldRejected,
    ListRejected,
    PagingRejected,
    RequestRejected,
    SegmentRejected,
    SubscriberRefused,
    WebhookRejected,
)
from connectors.campaign_monitor.errors.verdicts import RowRefused
from connectors.campaign_monitor.segments import broken_rules, rules_for_option, same_rules
from connectors.devkit.simulator import Simulator

ZONE = "(GMT+10:00) Canberra, Melbourne, Sydney"
PERSON = "mara+test@example.net"


async def test_the_account(api: CampaignMonitor, client_id: str) -> None:
    assert len(await api.systemdate()) == 19
    labels = await api.timezones()
    assert ZONE in labels
    for label in labels:
        zone_of(label)
    assert "Belgium" in await api.countries()
    assert [ref.client_id for ref in await api.clients.all()] == [client_id]


async def test_a_client(api: CampaignMonitor, sim: Simulator, client_id: str, list_id: str) -> None:
    details = await api.clients.details(client_id)
    assert (details.company_name, details.time_zone) == ("Acme", ZONE)
    assert "canary" not in str(details.raw)
    assert [ref.name for ref in await api.clients.lists(client_id)] == ["Newsletter"]
    assert await api.clients.segments(client_id) == []
    sim.controls.add_subscriber(list_id, PERSON)
    rows = await api.clients.lists_for_email(client_id, PERSON)
    assert [row["ListID"] for row in rows] == [list_id]


async def test_suppression(api: CampaignMonitor, client_id: str, list_id: str) -> None:
    await api.clients.suppress(client_id, [PERSON, "b@example.net"])
    page = await api.clients.suppression_list(client_id, BY_EMAIL)
    assert [row["EmailAddress"] for row in page.rows] == ["b@example.net", PERSON]
    assert page.last
    await api.clients.unsuppress(client_id, PERSON)
    assert (await api.clients.suppression_list(client_id)).total == 1
    with pytest.raises(RequestRejected) as caught:
        await api.clients.unsuppress(client_id, PERSON)
    assert caught.value.code == 176


async def test_lists(api: CampaignMonitor, client_id: str) -> None:
    made = await api.lists.create(client_id, "Second", only_this_list=True)
    details = await api.lists.details(made)
    assert (details.title, details.honours_suppression, details.confirmed_opt_in) == ("Second", False, False)
    with pytest.raises(ListRejected) as caught:
        await api.lists.create(client_id, "Second")
    assert caught.value.code == 250
    assert (await api.lists.stats(made))["TotalActiveSubscribers"] == 0
    await api.lists.delete(made)
    assert await api.clients.lists(client_id) == []


async def test_custom_fields(api: CampaignMonitor, list_id: str) -> None:
    key = await api.lists.create_custom_field(list_id, "Shoe Size", "Number")
    plan = await api.lists.create_custom_field(list_id, "Plan", "MultiSelectMany", ["vip", "€uro"])
    held = {field.key: field for field in await api.lists.custom_fields(list_id)}
    assert held[key].name == "Shoe Size"
    assert held[plan].options == ("vip", "€uro")
    await api.lists.update_custom_field_options(list_id, plan, ["new"])
    renamed = await api.lists.update_custom_field(list_id, key, "Boot Size")
    assert renamed != key
    held = {field.key: field for field in await api.lists.custom_fields(list_id)}
    assert set(held[plan].options) == {"vip", "€uro", "new"}
    await api.lists.delete_custom_field(list_id, renamed)
    assert [field.key for field in await api.lists.custom_fields(list_id)] == [plan]
    with pytest.raises(FieldRejected) as caught:
        await api.lists.create_custom_field(list_id, "plan", "Text")
    assert caught.value.code == 255


async def test_what_a_list_does_not_know_is_dropped(api: CampaignMonitor, list_id: str) -> None:
    key = await api.lists.create_custom_field(list_id, "Lytics Audiences", "MultiSelectMany", ["vip", "vip-eu"])
    writes = [FieldWrite(key, "vip"), FieldWrite(key, "vip-eu"), FieldWrite(key, "unknown"), FieldWrite("[None]", "x")]
    await api.subscribers.import_(list_id, [SubscriberWrite(PERSON, "Mara", writes)])
    held = await api.subscribers.get(list_id, PERSON)
    assert sorted(value for _, value in held.custom_fields if value) == ["vip", "vip-eu"]


async def test_one_subscriber(api: CampaignMonitor, sim: Simulator, list_id: str) -> None:
    assert await api.subscribers.add(list_id, SubscriberWrite(PERSON, "Mara", consent_to_track="Yes")) == PERSON
    held = await api.subscribers.get(list_id, PERSON)
    assert (held.name, held.state, held.consent_to_track) == ("Mara", "Active", "Yes")
    moved = "mara.doe@example.net"
    await api.subscribers.update(list_id, PERSON, SubscriberWrite(moved, "Mara Doe"))
    assert (await api.subscribers.get(list_id, moved)).name == "Mara Doe"
    assert isinstance(await api.subscribers.history(list_id, moved), list)
    await api.subscribers.unsubscribe(list_id, moved)
    assert (await api.subscribers.get(list_id, moved)).state == "Unsubscribed"
    with pytest.raises(SubscriberRefused) as caught:
        await api.subscribers.add(list_id, SubscriberWrite(moved))
    assert caught.value.verdict in (RowRefused(206, "unsubscribed"), RowRefused(204, "suppressed"))
    await api.subscribers.add(list_id, SubscriberWrite(moved), Autoresponders(resubscribe=True))
    assert (await api.subscribers.get(list_id, moved)).state == "Active"
    await api.subscribers.delete(list_id, moved)
    assert sim.controls.list_state(list_id)["Deleted"] == 1
    for call in (api.subscribers.get, api.subscribers.unsubscribe, api.subscribers.delete, api.subscribers.history):
        with pytest.raises(SubscriberRefused) as caught:
            await call(list_id, "nobody@example.net")
        assert caught.value.verdict == RowRefused(203, "not_a_subscriber")


async def test_import(api: CampaignMonitor, sim: Simulator, list_id: str) -> None:
    people = [SubscriberWrite(f"p{number}@example.net", f"P {number}") for number in range(1000)]
    result = await api.subscribers.import_(list_id, people)
    assert (result.new, result.existing, result.failures) == (1000, 0, ())
    sim.controls.refuse_rows({"p1@example.net": 204, "p2@example.net": 1})
    result = await api.subscribers.import_(list_id, people[:5])
    assert {(failure.email, failure.code) for failure in result.failures} == {
        ("p1@example.net", 204),
        ("p2@example.net", 1),
    }
    assert result.existing == 3


async def test_subscribers_by_state_in_pages(api: CampaignMonitor, sim: Simulator, list_id: str) -> None:
    sim.controls.seed_subscribers(list_id, 250)
    counts = sim.controls.list_state(list_id)
    for state in STATES:
        read = [
            row
            async for page in pages(lambda p, s=state: api.lists.subscribers(list_id, s, p), Paging(page_size=50))
            for row in page.rows
        ]
        assert len(read) == counts[state.capitalize()]
        assert {row["State"] for row in read} <= {state.capitalize()}
        assert [row["Date"] for row in read] == sorted(row["Date"] for row in read)
    none = await api.lists.subscribers(list_id, "active", date="2099-01-01")
    assert (none.rows, none.last) == ([], True)
    with pytest.raises(PagingRejected) as caught:
        await api.lists.subscribers(list_id, "active", Paging(page_size=1))
    assert caught.value.code == 801


async def test_segments(api: CampaignMonitor, list_id: str) -> None:
    key = await api.lists.create_custom_field(list_id, "Lytics Audiences", "MultiSelectMany", ["vip", "vip-eu"])
    rules = rules_for_option(key, "vip")
    made = await api.segments.create(list_id, "VIPs", rules)
    await api.subscribers.import_(
        list_id,
        [
            SubscriberWrite("a@example.net", custom_fields=[FieldWrite(key, "vip")]),
            SubscriberWrite("b@example.net", custom_fields=[FieldWrite(key, "vip-eu")]),
        ],
    )
    page = await api.segments.active(made)
    assert [row["EmailAddress"] for row in page.rows] == ["a@example.net"]
    await api.segments.update(made, "Best", rules)
    assert [ref.title for ref in await api.lists.segments(list_id)] == ["Best"]
    details = await api.segments.details(made)
    assert details.title == "Best"
    assert same_rules(details.rule_groups, rules)
    with pytest.raises(SegmentRejected) as caught:
        await api.segments.create(list_id, "Bad", rules_for_option(key, "no such option"))
    assert caught.value.code == 277
    assert 2722 in broken_rules(caught.value)
    with pytest.raises(SegmentRejected) as caught:
        await api.segments.create(list_id, "Best", rules)
    assert caught.value.code == 275
    await api.segments.delete(made)
    assert await api.lists.segments(list_id) == []


async def test_webhooks(api: CampaignMonitor, sim: Simulator, list_id: str) -> None:
    made = await api.webhooks.create(list_id, "http://127.0.0.1:1/hook")
    [hook] = await api.webhooks.all(list_id)
    assert (hook.webhook_id, hook.format, hook.active) == (made, "json", True)
    assert set(hook.events) == {"Subscribe", "Update", "Deactivate"}
    await api.webhooks.deactivate(list_id, made)
    assert not (await api.webhooks.all(list_id))[0].active
    await api.webhooks.activate(list_id, made)
    assert (await api.webhooks.all(list_id))[0].active
    with pytest.raises(WebhookRejected) as caught:
        await api.webhooks.test(list_id, made)
    assert caught.value.code == 610
    with pytest.raises(WebhookRejected) as caught:
        await api.webhooks.create(list_id, "no address")
    assert caught.value.code == 601
    await api.webhooks.delete(list_id, made)
    assert await api.webhooks.all(list_id) == []
