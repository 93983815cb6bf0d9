"""Faults on request: each kind, before and after the write."""

import asyncio

import aiohttp
import pytest


async def import_one(api, list_id):
    return await api.import_(list_id, ["a@example.net"])


@pytest.mark.parametrize("body", ["json", "html", "empty", "text"])
async def test_status(api, sim, list_id, body):
    sim.controls.inject(kind="status", status=504, body=body, text="busy", path="/subscribers/*/import.json")
    reply = await import_one(api, list_id)
    assert reply.status == 504
    assert {"json": '"Code":504', "html": "<html>", "empty": "", "text": "busy"}[body] in reply.text
    assert sim.controls.writes() == []
    assert (await import_one(api, list_id)).status == 201
    assert sim.controls.summary()["faults"] == {"status": 1}


async def test_status_after_the_write(api, sim, list_id):
    sim.controls.inject(kind="status", status=500, after=True, path="/subscribers/{listid}/import")
    assert (await import_one(api, list_id)).status == 500
    assert len(sim.controls.writes()) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", ["reset", "hang"])
async def test_cut_connections(api, sim, list_id, kind, after):
    sim.controls.inject(kind=kind, after=after, seconds=0.05, method="POST")
    with pytest.raises(aiohttp.ClientError):
        await import_one(api, list_id)
    assert len(sim.controls.writes()) == int(after)
    assert sim.controls.summary()["in_flight"] == 0
    assert (await import_one(api, list_id)).json["TotalExistingSubscribers"] == int(after)


async def test_a_hang_outlasts_the_caller(api, sim, list_id):
    sim.controls.inject(kind="hang", seconds=60, after=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(import_one(api, list_id), 0.2)
    assert len(sim.controls.writes()) == 1


async def test_truncated(api, sim, list_id):
    sim.controls.seed_subscribers(list_id, 50)
    sim.controls.inject(kind="truncate", path="/lists/*/active.json")
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.get(f"/lists/{list_id}/active.json")


async def test_slow(api, sim):
    sim.controls.add_client("A client with a name that takes a while to send")
    sim.controls.inject(kind="slow", bytes_per_second=10)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(api.get("/clients.json"), 0.3)
    assert (await api.get("/clients.json")).status == 200


async def test_delay_and_latency(api, sim):
    sim.controls.inject(kind="delay", seconds=0.1)
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert (await api.get("/clients.json")).status == 200
    assert loop.time() - start >= 0.1
    sim.controls.change_settings(latency_ms=60)
    start = loop.time()
    await asyncio.gather(*(api.get("/clients.json") for _ in range(10)))
    assert 0.06 <= loop.time() - start < 0.5


async def test_429_with_and_without_headers(api, sim):
    sim.controls.inject(kind="status", status=429, message="Rate limit exceeded", headers={"X-RateLimit-Reset": "3"})
    sim.controls.inject(kind="status", status=429)
    first, second = await api.get("/clients.json"), await api.get("/clients.json")
    assert (first.status, first.code, first.headers["X-RateLimit-Reset"]) == (429, 429, "3")
    assert second.status == 429
    assert "X-RateLimit-Reset" not in second.headers


async def test_chosen_rows_of_an_import_are_refused(api, sim, list_id):
    sim.controls.refuse_rows({"B@example.net": 207})
    reply = await api.import_(list_id, ["a@example.net", "b@example.net", "c@example.net"])
    assert reply.code == 210
    assert [(row["EmailAddress"], row["Code"]) for row in reply.json["ResultData"]["FailureDetails"]] == [
        ("b@example.net", 207)
    ]
    assert len(sim.controls.writes()) == 2
    sim.controls.clear_faults()
    assert (await api.import_(list_id, ["b@example.net"])).status == 201


async def test_people_leave_between_pages(api, sim, list_id):
    sim.controls.seed_subscribers(list_id, 40, all_active=True)
    sim.controls.inject(
        kind="mutate", path="/lists/*/active.json", skip=1, acts=[("churn", {"list_id": list_id, "count": 3})]
    )
    pages = [(await api.get(f"/lists/{list_id}/active.json", page=page, pagesize=20)).json for page in (1, 2)]
    seen = [row["EmailAddress"] for page in pages for row in page["Results"]]
    assert pages[1]["TotalNumberOfRecords"] == 37
    assert len(seen) == 37  # three of the first page left, so three slipped past the second
    assert sim.controls.list_state(list_id) == {
        "Active": 37, "Unconfirmed": 0, "Unsubscribed": 3, "Bounced": 0, "Deleted": 0
    }  # fmt: skip


async def test_token_endpoint_faults(sim):
    tokens = sim.controls.grant_token(["ManageLists"])
    sim.controls.inject(kind="reset", after=True, path="/oauth/token")
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(f"{sim.oauth_url}/token", data=form)
        async with session.post(f"{sim.oauth_url}/token", data=form) as answer:
            assert answer.status == 400  # the first refresh was applied: its answer is lost, and so is the token
            assert (await answer.json())["error"] == "invalid_grant"


async def test_an_unencoded_plus_is_a_blank(sim):
    tokens = sim.controls.grant_token()
    assert "+" in tokens["refresh_token"]
    body = f"grant_type=refresh_token&refresh_token={tokens['refresh_token']}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{sim.oauth_url}/token", data=body, headers=headers) as answer:
            assert (await answer.json())["error"] == "invalid_grant"
        sim.controls.change_settings(oauth_rotate=False)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        for _ in range(2):
            async with session.post(f"{sim.oauth_url}/token", data=form) as answer:
                assert (await answer.json())["refresh_token"] == tokens["refresh_token"]
