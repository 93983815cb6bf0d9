"""The state machine over HTTP, checked against the request log."""

import pytest


async def test_inactive_subscribers_stay_inactive_without_resubscribe(api, sim, list_id):
    sim.controls.seed_subscribers(list_id, 0)
    codes = {"Deleted": 205, "Unsubscribed": 206, "Bounced": 207, "Unconfirmed": 208}
    for state, code in codes.items():
        email = f"{state.lower()}@example.net"
        sim.controls.add_subscriber(list_id, email, state=state, joined="2025-01-01T00:00:00+00:00")
        assert (await api.add(list_id, email)).code == code
        reply = await api.import_(list_id, [email, f"new-{state}@example.net"])
        assert (reply.status, reply.code) == (400, 210)
        assert [row["Code"] for row in reply.json["ResultData"]["FailureDetails"]] == [code]
        assert reply.json["ResultData"]["TotalNewSubscribers"] == 1
    assert sim.controls.summary()["resurrections"] == 0
    for state in codes:
        email = f"{state.lower()}@example.net"
        assert (await api.add(list_id, email, Resubscribe=True)).status == 201
        shown = sim.controls.subscriber(list_id, email)
        assert (shown["State"], shown["Date"]) == ("Active", "2026-06-15 22:00:00")
        assert shown["ListJoinedDate"] == "2025-01-01 11:00:00"
    assert sim.controls.summary()["resurrections"] == 4
    assert {row["resurrected_from"] for row in sim.controls.writes()} == {None, *codes}


async def test_confirmed_opt_in(api, sim, client_id, receiver):
    list_id = sim.controls.add_list(client_id, "Double", confirmed_opt_in=True)
    await hook(api, list_id, receiver)
    assert (await api.add(list_id, "a@example.net")).status == 201
    assert sim.controls.list_state(list_id)["Unconfirmed"] == 1
    assert sim.controls.automations() == {}
    assert (await api.add(list_id, "a@example.net")).code == 208
    assert sim.controls.confirm(list_id, "a@example.net")
    assert not sim.controls.confirm(list_id, "a@example.net")
    await sim.webhooks_sent()
    assert [event["Type"] for event in receiver.events] == ["Subscribe"]
    assert sim.controls.list_state(list_id)["Active"] == 1


async def test_leaving_one_list_leaves_the_lists_that_honour_suppression(api, sim, client_id, list_id):
    second = sim.controls.add_list(client_id, "Second")
    own = sim.controls.add_list(client_id, "Own way", unsubscribe_setting="OnlyThisList")
    for known in (list_id, second, own):
        await api.add(known, "a@example.net")
    assert (await api.post(f"/subscribers/{list_id}/unsubscribe.json", {"EmailAddress": "A@example.net"})).text == ""
    states = [sim.controls.subscriber(known, "a@example.net")["State"] for known in (list_id, second, own)]
    assert states == ["Unsubscribed", "Unsubscribed", "Active"]
    assert (await api.add(list_id, "a@example.net")).code == 206
    assert (await api.add(second, "a@example.net")).code == 204
    assert (await api.add(own, "a@example.net")).status == 201
    third = sim.controls.add_list(client_id, "Third")
    assert (await api.add(third, "a@example.net")).code == 204
    assert (await api.get(f"/clients/{client_id}/suppressionlist.json")).json["Results"][0]["State"] == "Suppressed"
    assert (await api.add(second, "a@example.net", Resubscribe=True)).status == 201
    assert (await api.get(f"/clients/{client_id}/suppressionlist.json")).json["TotalNumberOfRecords"] == 0


async def test_suppressed_but_active(api, sim, client_id, list_id):
    await api.add(list_id, "a@example.net")
    sim.controls.suppress(client_id, "a@example.net")
    assert (await api.add(list_id, "a@example.net")).code == 204


async def test_flags_of_a_list_update(api, sim, client_id, list_id):
    sim.controls.add_subscriber(list_id, "gone@example.net", state="Unsubscribed")
    sim.controls.add_subscriber(list_id, "here@example.net")
    sim.controls.suppress(client_id, "here@example.net")
    body = {"Title": "Newsletter", "AddUnsubscribesToSuppList": True, "ScrubActiveWithSuppList": True}
    assert (await api.put(f"/lists/{list_id}.json", body)).status == 200
    assert set(sim.state.clients[client_id].suppressed) == {"gone@example.net", "here@example.net"}
    assert sim.controls.subscriber(list_id, "here@example.net")["State"] == "Unsubscribed"


async def test_an_update_never_creates_and_works_in_every_state(api, sim, list_id):
    body = {"EmailAddress": "new@example.net", "Name": "N", "ConsentToTrack": "No"}
    assert (await api.put(f"/subscribers/{list_id}.json", body, email="old@example.net")).code == 203
    sim.controls.add_subscriber(list_id, "old@example.net", state="Deleted", joined="2025-01-01T00:00:00+00:00")
    assert (await api.put(f"/subscribers/{list_id}.json", body, email="old@example.net")).text == ""
    shown = sim.controls.subscriber(list_id, "new@example.net")
    assert (shown["State"], shown["Name"], shown["ConsentToTrack"]) == ("Deleted", "N", "No")
    assert shown["ListJoinedDate"] == "2025-01-01 11:00:00"
    assert sim.controls.subscriber(list_id, "old@example.net") is None
    assert sim.controls.writes()[-1]["old_email"] == "old@example.net"
    revived = {**body, "Resubscribe": True}
    await api.put(f"/subscribers/{list_id}.json", revived, email="new@example.net")
    assert sim.controls.writes()[-1]["resurrected_from"] == "Deleted"


async def test_deleting(api, sim, client_id, list_id, receiver):
    await hook(api, list_id, receiver)
    for email in ("a@example.net", "b@example.net"):
        await api.add(list_id, email)
    assert (await api.delete(f"/subscribers/{list_id}.json", email="a@example.net")).text == ""
    assert (await api.delete(f"/subscribers/{list_id}.json", email="a@example.net")).code == 203
    sim.controls.change_settings(delete_sends_deactivate=False)
    await api.delete(f"/subscribers/{list_id}.json", email="b@example.net")
    await sim.webhooks_sent()
    assert [event["EmailAddress"] for event in receiver.events if event["Type"] == "Deactivate"] == ["a@example.net"]
    assert not sim.state.clients[client_id].suppressed
    rows = (await api.get(f"/lists/{list_id}/deleted.json")).json["Results"]
    assert [row["EmailAddress"] for row in rows] == ["a@example.net", "b@example.net"]


@pytest.mark.parametrize("seeded", [False, True])
async def test_deleting_permanently(api, sim, list_id, receiver, seeded):
    email = "a@example.net"
    if seeded:
        sim.controls.seed_subscribers(list_id, 20, all_active=True)
        email = sim.controls.subscribers(list_id)[7]["EmailAddress"]
    else:
        await api.add(list_id, email, Name="Old")
    await hook(api, list_id, receiver)
    before = sim.controls.list_state(list_id)["Active"]
    sim.controls.delete_permanently(list_id, email)
    assert (await api.get(f"/subscribers/{list_id}.json", email=email)).code == 203
    assert sim.controls.list_state(list_id) == dict.fromkeys(sim.controls.list_state(list_id), 0) | {
        "Active": before - 1
    }
    assert email not in [row["EmailAddress"] for row in sim.controls.subscribers(list_id)]
    for state in ("active", "deleted"):
        rows = (await api.get(f"/lists/{list_id}/{state}.json")).json["Results"]
        assert email not in [row["EmailAddress"] for row in rows]
    reply = await api.import_(list_id, [email])
    assert (reply.status, reply.json["TotalNewSubscribers"]) == (201, 1)
    assert sim.controls.subscriber(list_id, email)["Name"] == ""
    with pytest.raises(KeyError):
        sim.controls.delete_permanently(list_id, "never@example.net")
    await sim.webhooks_sent()
    assert [event["Type"] for event in receiver.events] == ["Deactivate", "Subscribe"]


async def test_signing_up_by_a_form(api, sim, list_id, receiver):
    await hook(api, list_id, receiver)
    assert sim.controls.sign_up(list_id, "a@example.net")
    assert not sim.controls.sign_up(list_id, "a@example.net")
    sim.controls.unsubscribe(list_id, "a@example.net")
    assert sim.controls.sign_up(list_id, "a@example.net")
    assert [(write["who"], write["act"], write["after"]) for write in sim.controls.writes()] == [
        ("person", "form", "Active"), ("person", "link", "Unsubscribed"), ("person", "form", "Active")
    ]  # fmt: skip
    await sim.webhooks_sent()
    assert [event["Type"] for event in receiver.events] == ["Subscribe", "Deactivate", "Subscribe"]


@pytest.mark.parametrize("by_api", [False, True])
async def test_values_of_a_removed_option_are_gone_for_good(api, sim, list_id, by_api):
    async def set_options(options):
        if by_api:
            body = {"Options": options, "KeepExistingOptions": False}
            assert (await api.put(f"/lists/{list_id}/customfields/[Plan]/options.json", body)).status == 200
        else:
            sim.controls.set_options(list_id, "[Plan]", options)

    sim.controls.add_field(list_id, "Plan", "MultiSelectMany", ["Free", "Gold"])
    sim.controls.seed_subscribers(list_id, 30)
    entries = [{"Key": "[Plan]", "Value": text} for text in ("Free", "Gold")]
    await api.add(list_id, "a@example.net", CustomFields=entries)
    await set_options(["Gold"])
    await set_options(["Gold", "Free"])
    assert sim.controls.subscriber(list_id, "a@example.net")["CustomFields"] == [{"Key": "Plan", "Value": "Gold"}]
    values = [value["Value"] for row in sim.controls.subscribers(list_id) for value in row["CustomFields"]]
    assert set(values) == {"Gold"}


async def test_a_queued_add_is_not_there_yet(api, sim, list_id):
    sim.controls.change_settings(add_delay_seconds=60)
    assert (await api.add(list_id, "a@example.net", Name="A")).status == 201
    assert (await api.get(f"/subscribers/{list_id}.json", email="a@example.net")).code == 203
    assert sim.controls.summary()["queued_adds"] == 1
    await api.import_(list_id, ["b@example.net"])
    assert sim.controls.list_state(list_id)["Active"] == 1
    sim.controls.clock(advance=60)
    assert (await api.get(f"/subscribers/{list_id}.json", email="a@example.net")).json["Name"] == "A"


async def test_silent_drops_are_in_the_side_log(api, sim, list_id):
    sim.controls.add_field(list_id, "Plan", "MultiSelectOne", ["Free"])
    entries = [{"Key": "[Plan]", "Value": "Gold"}, {"Key": "[Nope]", "Value": "x"}]
    assert (await api.add(list_id, "a@example.net", CustomFields=entries)).status == 201
    assert sim.controls.subscriber(list_id, "a@example.net")["CustomFields"] == []
    assert [(row["email"], row["key"], row["value"]) for row in sim.controls.dropped()] == [
        ("a@example.net", "[Plan]", "Gold"), ("a@example.net", "[Nope]", "x")
    ]  # fmt: skip


async def test_a_renamed_field_keeps_values_under_another_key(api, sim, list_id):
    key = sim.controls.add_field(list_id, "City")
    await api.add(list_id, "a@example.net", CustomFields=[{"Key": key, "Value": "Ghent"}])
    assert sim.controls.rename_field(list_id, key, "Home Town") == "[HomeTown]"
    await api.add(list_id, "b@example.net", CustomFields=[{"Key": key, "Value": "Lost"}])
    assert sim.controls.subscriber(list_id, "a@example.net")["CustomFields"] == [{"Key": "Home Town", "Value": "Ghent"}]
    assert sim.controls.subscriber(list_id, "b@example.net")["CustomFields"] == []
    sim.controls.change_settings(read_keys="key")
    assert sim.controls.subscriber(list_id, "a@example.net")["CustomFields"][0]["Key"] == "[HomeTown]"


async def test_automations_count_starts_and_restarts(api, sim, list_id):
    await api.add(list_id, "add@example.net")
    await api.import_(list_id, ["import@example.net"])
    await api.import_(list_id, ["queued@example.net"], QueueSubscriptionBasedAutoresponders=True)
    for _ in range(2):
        await api.import_(
            list_id, ["queued@example.net"], Resubscribe=True, RestartSubscriptionBasedAutoresponders=True
        )
    await api.import_(list_id, ["add@example.net"], RestartSubscriptionBasedAutoresponders=True)
    assert sim.controls.automations(list_id) == {
        f"{list_id}/add@example.net": {"queued": 1, "restarted": 0},
        f"{list_id}/queued@example.net": {"queued": 1, "restarted": 2},
    }


async def test_consent_belongs_to_the_address_at_the_client(api, sim, client_id, list_id):
    second = sim.controls.add_list(client_id, "Second")
    await api.add(list_id, "a@example.net", ConsentToTrack="No")
    await api.add(second, "a@example.net")
    assert sim.controls.subscriber(second, "a@example.net")["ConsentToTrack"] == "No"
    await api.add(second, "a@example.net", ConsentToTrack="yes")
    assert sim.controls.subscriber(list_id, "a@example.net")["ConsentToTrack"] == "Yes"
    await api.add(second, "b@example.net")
    assert sim.controls.subscriber(second, "b@example.net")["ConsentToTrack"] == ""


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ConsentToTrack": None}, 214),
        ({"ConsentToTrack": ""}, 214),
        ({"ConsentToTrack": "maybe"}, 215),
        ({"MobileNumber": "0470"}, 220),
        ({"EmailAddress": "nobody", "MobileNumber": "0470"}, 221),
        ({"EmailAddress": "nobody"}, 1),
    ],
)
async def test_refused_rows(api, list_id, more, code):
    assert (await api.add(list_id, "a@example.net", **more)).code == code


async def test_the_request_log_keeps_the_order_of_writes(api, sim, list_id):
    await api.add(list_id, "a@example.net")
    sim.controls.unsubscribe(list_id, "a@example.net")
    await api.add(list_id, "a@example.net", Resubscribe=True)
    rows = sim.controls.writes(list_id=list_id)
    assert [(row["seq"], row["who"].split()[0], row["act"], row["before"], row["after"]) for row in rows] == [
        (1, "account", "add", None, "Active"),
        (2, "person", "link", "Active", "Unsubscribed"),
        (3, "account", "add", "Unsubscribed", "Active"),
    ]
    assert sim.controls.writes(after=2)[0]["seq"] == 3
    sim.controls.forget()
    assert sim.controls.writes() == []
    assert sim.controls.summary()["writes"] == 0


async def hook(api, list_id, receiver, events=("Subscribe", "Update", "Deactivate")):
    body = {"Events": list(events), "Url": receiver.url, "PayloadFormat": "json"}
    reply = await api.post(f"/lists/{list_id}/webhooks.json", body)
    assert reply.status == 201
    return reply.json
