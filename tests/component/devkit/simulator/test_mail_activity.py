"""Campaigns and journeys as time goes on."""

import pytest


@pytest.fixture
def people(sim, list_id):
    sim.controls.seed_subscribers(list_id, 60, all_active=True)
    return [row["EmailAddress"] for row in sim.controls.subscribers(list_id)]


async def report(api, campaign, kind, **query):
    return (await api.get(f"/campaigns/{campaign}/{kind}.json", **query)).json


async def test_what_people_do_shows_in_reports_and_states(api, sim, list_id, people):
    campaign = sim.controls.send_campaign([list_id], "Today")
    assert (await report(api, campaign, "recipients"))["TotalNumberOfRecords"] == 60
    sim.controls.open(campaign, people[0])
    sim.controls.open(campaign, people[0])
    sim.controls.click(campaign, people[0])
    sim.controls.unsubscribe(list_id, people[1], campaign)
    sim.controls.hard_bounce(list_id, people[2], campaign)
    sim.controls.soft_bounce(campaign, people[3])
    sim.controls.complain(list_id, people[4], campaign)
    summary = await report(api, campaign, "summary")
    assert [summary[key] for key in ("Recipients", "TotalOpened", "UniqueOpened", "Clicks", "Unsubscribed", "Bounced",
                                     "SpamComplaints")] == [60, 2, 1, 1, 1, 2, 1]  # fmt: skip
    bounces = (await report(api, campaign, "bounces"))["Results"]
    assert {(row["EmailAddress"], row["BounceType"]) for row in bounces} == {(people[2], "Hard"), (people[3], "Soft")}
    assert sim.controls.list_state(list_id) == {
        "Active": 57, "Unconfirmed": 0, "Unsubscribed": 2, "Bounced": 1, "Deleted": 0
    }  # fmt: skip
    history = (await api.get(f"/subscribers/{list_id}/history.json", email=people[0])).json
    assert [action["Event"] for action in history[0]["Actions"]] == ["Open", "Open", "Click"]
    second = sim.controls.send_campaign([list_id], "Next")
    assert (await report(api, second, "recipients"))["TotalNumberOfRecords"] == 57


async def test_late_rows_come_with_the_clock(api, sim, list_id, people):
    campaign = sim.controls.send_campaign([list_id], "Slow", opens=40, hours=48)
    counts = []
    for _ in range(4):
        counts.append((await report(api, campaign, "opens"))["TotalNumberOfRecords"])
        sim.controls.clock(advance=16 * 3_600)
    assert counts == sorted(counts)
    assert (counts[0], counts[3]) == (0, 40)


async def test_a_scheduled_campaign_goes_out_when_its_time_comes(api, sim, client_id, list_id, people):
    campaign = sim.controls.schedule_campaign([list_id], "Later", in_seconds=3_600)
    assert (await api.get(f"/clients/{client_id}/scheduled.json")).json[0]["DateScheduled"] == "2026-06-15 23:00:00"
    assert (await api.get(f"/campaigns/{campaign}/summary.json")).status == 404
    sim.controls.clock(advance=3_600)
    assert (await api.get(f"/clients/{client_id}/scheduled.json")).json == []
    assert (await report(api, campaign, "recipients"))["TotalNumberOfRecords"] == 60
    shown = (await api.get(f"/clients/{client_id}/campaigns.json")).json["Results"][0]
    assert shown["SentDate"] == "2026-06-15 23:00:00"


async def test_journeys_forget_after_a_year(api, sim, list_id, people):
    _journey, mail = sim.controls.add_journey(list_id, "J", mails=1, sent=50, opens=50, days=300)
    path = f"/journeys/email/{mail}/opens.json"
    assert (await api.get(path)).json["TotalNumberOfRecords"] == 50
    sim.controls.clock(advance=300 * 86_400)
    assert 0 < (await api.get(path)).json["TotalNumberOfRecords"] < 50
    sim.controls.open(mail, people[0])
    rows = (await api.get(path, orderdirection="desc")).json["Results"]
    assert rows[0]["EmailAddress"] == people[0]
    assert "ListID" not in rows[0]


async def test_history_stops_at_sixty(api, sim, list_id, people):
    campaign = sim.controls.send_campaign([list_id], "Loved")
    for _ in range(70):
        sim.controls.open(campaign, people[0])
    history = (await api.get(f"/subscribers/{list_id}/history.json", email=people[0])).json
    assert len(history[0]["Actions"]) == 60


async def test_segments_follow_the_list_and_campaigns(api, sim, list_id, people):
    campaign = sim.controls.send_campaign([list_id], "Seg")
    opened = sim.controls.add_segment(list_id, "Opened", [[("CampaignOpened", campaign)]])
    not_clicked = sim.controls.add_segment(list_id, "No click", [[("CampaignOpenedNoClick", campaign)]])
    sim.controls.open(campaign, people[0])
    sim.controls.open(campaign, people[1])
    sim.controls.click(campaign, people[1])
    assert (await api.get(f"/segments/{opened}.json")).json["ActiveSubscribers"] == 2
    rows = (await api.get(f"/segments/{not_clicked}/active.json")).json["Results"]
    assert [row["EmailAddress"] for row in rows] == [people[0]]
    sim.controls.unsubscribe(list_id, people[0])
    assert (await api.get(f"/segments/{opened}.json")).json["ActiveSubscribers"] == 1


async def test_a_segment_takes_its_time(api, sim, list_id, people):
    sim.controls.change_settings(segment_delay_seconds=60)
    body = {"Title": "Slow", "RuleGroups": [{"Rules": [{"RuleType": "Name", "Clause": "PROVIDED"}]}]}
    segment = (await api.post(f"/segments/{list_id}.json", body)).json
    assert (await api.get(f"/segments/{segment}/active.json")).code == 278
    assert (await api.get(f"/segments/{segment}.json")).json["ActiveSubscribers"] == 0
    sim.controls.change_settings(segment_delay_answer="stale")
    assert (await api.get(f"/segments/{segment}/active.json")).json["TotalNumberOfRecords"] == 0
    sim.controls.clock(advance=60)
    assert (await api.get(f"/segments/{segment}/active.json")).json["TotalNumberOfRecords"] > 50


async def test_two_clients_in_two_zones(api, sim, list_id, people):
    american = sim.controls.add_client("US", "(GMT-05:00) Eastern Time (US & Canada)")
    there = sim.controls.add_list(american, "There")
    await api.add(there, "a@example.net")
    await api.add(list_id, "a@example.net")
    assert sim.controls.subscriber(there, "a@example.net")["Date"] == "2026-06-15 08:00:00"
    assert sim.controls.subscriber(list_id, "a@example.net")["Date"] == "2026-06-15 22:00:00"
    since = await api.get(f"/lists/{list_id}/active.json", date="2026-06-15 22:00:00")
    assert [row["EmailAddress"] for row in since.json["Results"]] == ["a@example.net"]
