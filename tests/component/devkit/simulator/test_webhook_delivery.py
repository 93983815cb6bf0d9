"""Webhooks that are really sent."""

from collections import Counter

from tests.component.devkit.simulator.test_subscriber_states import hook
from tests.deadline import eventually


async def test_payloads(api, sim, list_id, receiver):
    sim.controls.add_field(list_id, "City")
    sim.controls.add_field(list_id, "Hobbies", "MultiSelectMany", ["chess", "tea"])
    await hook(api, list_id, receiver)
    fields = [
        {"Key": "[City]", "Value": "Ghent"},
        {"Key": "Hobbies", "Value": "tea"},
        {"Key": "Hobbies", "Value": "chess"},
    ]
    await api.add(list_id, "mara@example.net", Name="Mara", CustomFields=fields)
    sim.controls.edit_profile(list_id, "mara@example.net", new_email="mara.doe@example.net", fields={"City": "Bruges"})
    sim.controls.hard_bounce(list_id, "mara.doe@example.net")
    await sim.webhooks_sent()
    assert {post["ListID"] for post in receiver.posts} == {list_id}
    first, second, third = receiver.events
    hobbies = [{"Key": "Hobbies", "Value": "tea"}, {"Key": "Hobbies", "Value": "chess"}]
    assert first == {
        "Type": "Subscribe", "Date": "2026-06-15 22:00:00", "EmailAddress": "mara@example.net", "Name": "Mara",
        "SignupIPAddress": "203.0.113.9", "CustomFields": [{"Key": "City", "Value": "Ghent"}, *hobbies],
    }  # fmt: skip
    assert second == {
        "Type": "Update", "Date": "2026-06-15 22:00:00", "OldEmailAddress": "mara@example.net",
        "EmailAddress": "mara.doe@example.net", "Name": "Mara", "State": "Active",
        "CustomFields": [{"Key": "City", "Value": "Bruges"}, *hobbies],
    }  # fmt: skip
    assert (third["Type"], third["State"]) == ("Deactivate", "Bounced")
    assert "OldEmailAddress" not in third


async def test_an_import_comes_back_in_batches_of_a_thousand(api, sim, list_id, receiver):
    await hook(api, list_id, receiver)
    for start in range(0, 2_500, 500):
        await api.import_(list_id, [f"u{start + n}@example.net" for n in range(500)])
    await api.import_(list_id, ["u1@example.net"])
    await sim.webhooks_sent()
    assert max(len(post["Events"]) for post in receiver.posts) <= 1_000
    assert len(receiver.posts) < 10
    assert Counter(event["Type"] for event in receiver.events) == {"Subscribe": 2_500, "Update": 1}
    assert [event["EmailAddress"] for event in receiver.events[:2_500]] == [f"u{n}@example.net" for n in range(2_500)]


async def test_only_the_chosen_events(api, sim, list_id, receiver):
    await hook(api, list_id, receiver, ["Deactivate"])
    await api.add(list_id, "a@example.net")
    sim.controls.complain(list_id, "a@example.net")
    await sim.webhooks_sent()
    assert [(event["Type"], event["State"]) for event in receiver.events] == [("Deactivate", "Unsubscribed")]


async def test_a_failed_batch_is_repeated_unchanged(api, sim, list_id, receiver):
    receiver.status = lambda number: 503 if number < 3 else 204
    await hook(api, list_id, receiver)
    await api.add(list_id, "a@example.net")
    await sim.webhooks_sent()
    assert [post["status"] for post in receiver.posts] == [503, 503, 503, 204]
    assert len({str(post["Events"]) for post in receiver.posts}) == 1
    deliveries = sim.controls.deliveries(payloads=True)
    assert [(row["attempt"], row["status"]) for row in deliveries] == [(1, 503), (2, 503), (3, 503), (4, 204)]
    assert sim.controls.summary()["webhook_events"]["delivered"] == 1


async def test_a_week_of_errors_deactivates(api, sim, list_id, receiver):
    receiver.status = lambda _number: 500
    hook_id = await hook(api, list_id, receiver)
    await api.add(list_id, "a@example.net")
    await eventually(lambda: len(receiver.posts) >= 2, seconds=5)
    sim.controls.clock(advance=7 * 86_400)
    await sim.webhooks_sent()
    shown = (await api.get(f"/lists/{list_id}/webhooks.json")).json
    assert shown[0]["Status"] != "Active"
    receiver.status = lambda _number: 200
    posts = len(receiver.posts)
    await api.add(list_id, "b@example.net")
    await sim.webhooks_sent()
    assert len(receiver.posts) == posts
    assert sim.controls.summary()["webhook_events"]["missed while inactive"] == 2
    await api.put(f"/lists/{list_id}/webhooks/{hook_id}/activate.json", " ")
    await api.add(list_id, "c@example.net")
    await sim.webhooks_sent()
    assert receiver.events[-1]["EmailAddress"] == "c@example.net"


async def test_nobody_listening(api, sim, list_id, receiver):
    receiver.url = "http://127.0.0.1:9/"
    hook_id = await hook(api, list_id, receiver)
    reply = await api.get(f"/lists/{list_id}/webhooks/{hook_id}/test.json")
    assert reply.code == 610
    assert set(reply.json["ResultData"]) == {
        "FailureStatus", "FailureResponseMessage", "FailureResponseCode", "FailureResponse"
    }  # fmt: skip
    await api.add(list_id, "a@example.net")
    await eventually(lambda: len(sim.controls.deliveries()) >= 2, seconds=5)
    assert sim.controls.deliveries()[0]["status"] is None


async def test_duplicates_gaps_and_disorder_on_request(api, sim, list_id, receiver):
    await hook(api, list_id, receiver)
    sim.controls.change_settings(webhook_duplicate_probability=1.0)
    await api.add(list_id, "twice@example.net")
    await sim.webhooks_sent()
    assert len(receiver.events) == 2
    sim.controls.change_settings(webhook_duplicate_probability=0.0, webhook_drop_probability=1.0)
    await api.add(list_id, "lost@example.net")
    await sim.webhooks_sent()
    assert len(receiver.events) == 2
    sim.controls.change_settings(webhook_drop_probability=0.0, webhook_reorder_probability=1.0)
    await api.import_(list_id, [f"u{n}@example.net" for n in range(50)])
    await sim.webhooks_sent()
    emails = [event["EmailAddress"] for event in receiver.events[2:]]
    assert emails != [f"u{n}@example.net" for n in range(50)]
    assert sorted(emails) == sorted(f"u{n}@example.net" for n in range(50))
