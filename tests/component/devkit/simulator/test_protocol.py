"""Credentials before routes, JSON oddities, spelling of queries and bodies, limits."""

import asyncio
import base64

import aiohttp
import pytest

from tests.component.devkit.simulator.conftest import KEY


async def test_the_credential_is_checked_before_the_route(api):
    for path in ("/clients.json", "/no/such/thing.json"):
        for headers in ({"Authorization": ""}, {"Authorization": "Basic " + base64.b64encode(b"no:x").decode()}):
            reply = await api.ask("GET", path, headers=headers)
            assert (reply.status, reply.json) == (401, {"Code": 100, "Message": "Invalid API Key"})
        reply = await api.ask("GET", path, headers={"Authorization": "Bearer nothing"})
        assert (reply.status, reply.code) == (401, 120)
    assert (await api.get("/no/such/thing.json")).status == 404
    async with api.session.get(f"{api.sim.url}/api/v9.9/clients.json") as answer:
        assert answer.status == 404
    async with api.session.get(f"{api.sim.url}/api/v3.4/clients.json") as answer:
        assert answer.status == 401


async def test_client_keys_see_one_client(api, sim, client_id, list_id):
    other = sim.controls.add_client("Other")
    other_list = sim.controls.add_list(other, "Theirs")
    key = sim.state.clients[client_id].api_key
    headers = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
    assert [client["ClientID"] for client in (await api.ask("GET", "/clients.json", headers=headers)).json] == [
        client_id
    ]
    assert (await api.ask("GET", f"/lists/{list_id}.json", headers=headers)).status == 200
    for path in (f"/clients/{other}.json", f"/lists/{other_list}.json"):
        reply = await api.ask("GET", path, headers=headers)
        assert (reply.status, reply.code) == (401, 102)
    assert (await api.get("/lists/unknown.json")).status == 404
    assert (await api.get("/clients/unknown.json")).code == 102


async def test_another_accounts_data(api, sim, list_id):
    sim.controls.add_account("Rival", "rival-key")
    headers = {"Authorization": "Basic " + base64.b64encode(b"rival-key:x").decode()}
    assert (await api.ask("GET", "/clients.json", headers=headers)).json == []
    assert (await api.ask("GET", f"/lists/{list_id}/active.json", headers=headers)).code == 102


@pytest.mark.parametrize("code", [60, 100, 102, 120, 121, 122, 403])
async def test_any_credential_error_on_demand(api, sim, code):
    sim.controls.answer_credential(KEY, code)
    reply = await api.get("/clients.json")
    assert (reply.status, reply.code) == (403 if code == 403 else 401, code)
    sim.controls.answer_credential(KEY, None)
    assert (await api.get("/clients.json")).status == 200


async def test_bare_strings_and_empty_bodies(api, client_id):
    created = await api.post(f"/lists/{client_id}.json", {"Title": "T"})
    assert created.status == 201
    assert created.text == f'"{created.json}"'
    path = f"/lists/{created.json}"
    assert (await api.put(f"{path}.json", {"Title": "U"})).text == ""
    key = await api.post(f"{path}/customfields.json", {"FieldName": "Shoe Size", "DataType": "Number"})
    assert (key.status, key.text) == (201, '"[ShoeSize]"')
    added = await api.add(created.json, "mara+x@example.net")
    assert (added.status, added.text) == (201, '"mara+x@example.net"')
    assert (await api.get(f"/subscribers/{created.json}.json", email="mara+x@example.net")).status == 200
    bare_plus = await api.get(f"/subscribers/{created.json}.json?email=mara+x@example.net")
    assert bare_plus.code == 203  # on the wire a bare + is a blank
    hook = (await api.post(f"{path}/webhooks.json", {"Events": ["Update"], "Url": "http://127.0.0.1:9/",
                                                     "PayloadFormat": "json"})).json  # fmt: skip
    for body in (" ", "", None):
        reply = await api.put(f"{path}/webhooks/{hook}/deactivate.json", body)
        assert (reply.status, reply.text) == (200, "")


async def test_the_suffix_decides_the_format(api, client_id, list_id):
    assert (await api.get("/clients")).text.startswith("<?xml")
    assert (await api.get("/clients.xml")).headers["Content-Type"].startswith("application/xml")
    accepted = await api.ask("GET", "/clients", headers={"Accept": "application/json"})
    assert accepted.json[0]["ClientID"] == client_id
    assert "\n" in (await api.get("/clients.json", pretty="true")).text


async def test_keys_in_paths_with_and_without_encoding(api, sim, list_id):
    sim.controls.add_field(list_id, "City")
    sim.controls.add_field(list_id, "Town")
    for path in ("%5BCity%5D", "[Town]"):
        assert (
            await api.put(f"/lists/{list_id}/customfields/{path}.json", {"FieldName": "x" + path[-3:]})
        ).status == 200


async def test_case_of_queries_and_bodies(api, sim, list_id):
    sim.controls.seed_subscribers(list_id, 30, all_active=True)
    for name in ("pagesize", "pageSize", "PAGESIZE"):
        assert len((await api.get(f"/lists/{list_id}/active.json", **{name: 10})).json["Results"]) == 10
    for value in ("true", "True"):
        row = (await api.get(f"/lists/{list_id}/active.json", IncludeTrackingPreference=value)).json["Results"][0]
        assert "ConsentToTrack" in row
    body = {"subscribers": [{"emailaddress": "low@example.net", "NAME": "Low", "consenttotrack": "yes"}],
            "QueueSubscriptionBasedAutoResponders": True}  # fmt: skip
    assert (await api.post(f"/subscribers/{list_id}/import.json", body)).status == 201
    assert sim.controls.subscriber(list_id, "low@example.net")["Name"] == "Low"
    assert sim.controls.automations()[f"{list_id}/low@example.net"] == {"queued": 1, "restarted": 0}


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"[]",
        {"EmailAddress": "a@b.cd", "ConsentToTrack": True},
        {"EmailAddress": "a@b.cd", "ConsentToTrack": "Yes", "CustomFields": False},
        {"EmailAddress": 5, "ConsentToTrack": "Yes"},
        {"EmailAddress": "a@b.cd", "ConsentToTrack": "Yes", "Resubscribe": "true"},
    ],
)
async def test_what_cannot_be_deserialised(api, list_id, body):
    reply = await api.post(f"/subscribers/{list_id}.json", body)
    assert (reply.status, reply.code) == (400, 400)
    assert reply.json["Message"].endswith("Fields in error: subscriber")


async def test_the_limit_of_everybody(api, sim):
    sim.controls.change_settings(rate_limit=2, rate_window_seconds=60)
    replies = [await api.get("/clients.json") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].json == {"Code": 429, "Message": "Rate limit exceeded"}
    assert int(replies[2].headers["X-RateLimit-Reset"]) == 60
    sim.controls.clock(advance=61)
    assert (await api.get("/clients.json")).status == 200


async def test_one_address_too_often(api, sim, list_id):
    sim.controls.change_settings(address_limit=1)
    assert (await api.add(list_id, "a@example.net")).status == 201
    reply = await api.add(list_id, "A@example.net")
    assert (reply.status, reply.code) == (429, 429)
    assert "X-RateLimit-Limit" not in reply.headers
    assert (await api.add(list_id, "b@example.net")).status == 201
    sim.controls.clock(advance=11)
    assert (await api.add(list_id, "a@example.net")).status == 201


async def test_gzip_when_asked(api, sim, list_id):
    sim.controls.change_settings(gzip=True)
    sim.controls.seed_subscribers(list_id, 100)
    async with aiohttp.ClientSession(auto_decompress=False) as raw:
        headers = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:x".encode()).decode()}
        async with raw.get(f"{sim.base_url}/lists/{list_id}/active.json", headers=headers) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert (await answer.read())[:2] == b"\x1f\x8b"


async def test_calls_are_counted_and_overlap_is_seen(api, sim, list_id):
    sim.controls.change_settings(latency_ms=50)
    await asyncio.gather(
        api.add(list_id, "a@example.net"),
        api.import_(list_id, ["A@example.net", "b@example.net"]),
        api.get("/clients.json"),
    )
    summary = sim.controls.summary()
    assert summary["calls"] == {
        "POST /subscribers/{listid}": 1, "POST /subscribers/{listid}/import": 1, "GET /clients": 1
    }  # fmt: skip
    assert summary["max_in_flight"] == 3
    assert sim.controls.shared_addresses() == {f"{list_id}/a@example.net": 2}
    assert summary["in_flight"] == 0
