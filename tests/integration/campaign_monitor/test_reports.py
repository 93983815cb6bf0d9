"""Campaigns and journeys with all their reports against the simulated Campaign Monitor."""

import pytest

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.client_endpoints import CAMPAIGN_REPORTS, JOURNEY_REPORTS
from connectors.campaign_monitor.errors.exceptions import PagingRejected, ResourceMissing
from connectors.devkit.simulator import Simulator


async def test_campaigns(api: CampaignMonitor, sim: Simulator, client_id: str, list_id: str) -> None:
    sim.controls.seed_subscribers(list_id, 100, all_active=True)
    made = sim.controls.add_campaign(
        [list_id], "March", opens=40, clicks=20, unsubscribes=3, spam=1, bounces=5, tags=["a", "b"]
    )
    sim.controls.add_campaign([list_id], "April", tags=["a"])
    sent = await api.clients.campaigns(client_id)
    assert sorted(row["Name"] for row in sent.rows) == ["April", "March"]
    tagged = await api.clients.campaigns(client_id, tags=("a", "b"), sent_from="2000-01-01", sent_to="2099-01-01")
    assert [row["CampaignID"] for row in tagged.rows] == [made]
    with pytest.raises(PagingRejected) as caught:
        await api.clients.campaigns(client_id, sent_from="2026-02-01", sent_to="2026-01-01")
    assert caught.value.code == 927

    summary = await api.campaigns.summary(made)
    assert (summary["Name"], summary["Recipients"], summary["TotalOpened"]) == ("March", 100, 40)
    audience = await api.campaigns.lists_and_segments(made)
    assert ([ref.list_id for ref in audience.lists], audience.segments) == ([list_id], ())
    assert isinstance(await api.campaigns.email_client_usage(made), list)
    named = {
        "recipients": await api.campaigns.recipients(made),
        "opens": await api.campaigns.opens(made),
        "clicks": await api.campaigns.clicks(made),
        "unsubscribes": await api.campaigns.unsubscribes(made),
        "spam": await api.campaigns.spam(made),
        "bounces": await api.campaigns.bounces(made),
    }
    assert [page.total for page in named.values()] == [100, 40, 20, 3, 1, 5]
    for report in CAMPAIGN_REPORTS:
        page = await api.campaigns.report(made, report)
        assert page.rows == named[report].rows
        assert {row["ListID"] for row in page.rows} == {list_id}
        later = await api.campaigns.report(made, report, date="2099-01-01 00:00")
        assert later.total == (100 if report == "recipients" else 0), "recipients take no date"
    assert {"URL", "IPAddress", "Date"} <= named["clicks"].rows[0].keys()
    assert {"BounceType", "Reason"} <= named["bounces"].rows[0].keys()


async def test_journeys(api: CampaignMonitor, sim: Simulator, client_id: str, list_id: str) -> None:
    sim.controls.seed_subscribers(list_id, 100, all_active=True)
    emails = sim.controls.add_journey(
        list_id, "Welcome", mails=1, sent=30, opens=10, clicks=4, bounces=2, unsubscribes=1
    )
    [ref] = await api.clients.journeys(client_id)
    assert (ref.list_id, ref.name, ref.status) == (list_id, "Welcome", "Active")
    journey = await api.journeys.details(ref.journey_id)
    assert journey.trigger_type == "On Subscription"
    [email] = journey.emails
    assert email.email_id in emails
    assert email.counts["Opened"] == 10
    totals = {report: (await api.journeys.email_report(email.email_id, report)).total for report in JOURNEY_REPORTS}
    assert totals == {"recipients": 30, "opens": 10, "clicks": 4, "bounces": 2, "unsubscribes": 1}
    with pytest.raises(ResourceMissing) as caught:
        await api.journeys.details("no such journey")
    assert caught.value.code == 3000
    with pytest.raises(ResourceMissing) as caught:
        await api.journeys.email_report("no such mail", "opens")
    assert caught.value.code == 3002
