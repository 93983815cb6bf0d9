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


@pytest.mark.parametrize(
    "fault", [{"kind": "reset"}, {"kind": "hang", "seconds": 0.05}, {"kind": "status", "status": 504, "body": "html"}]
)
async def test_a_write_that_is_applied_when_a_test_releases_it(api, sim, list_id, fault):
    sim.controls.inject(**fault, late=True, method="POST")
    if fault["kind"] == "status":
        assert (await import_one(api, list_id)).status == 504
    else:
        with pytest.raises(aiohttp.ClientError):
            await import_one(api, list_id)
    assert sim.controls.writes() == []
    (held,) = sim.controls.held_calls()
    assert held["endpoint"] == "POST /subscribers/{listid}/import"
    assert held["addresses"] == [f"{list_id}/a@example.net"]
    assert sim.controls.summary()["held_calls"] == 1
    assert sim.controls.release_calls() == ["201"]
    assert [write["email"] for write in sim.controls.writes()] == ["a@example.net"]
    assert sim.controls.held_calls() == sim.controls.release_calls() == []


async def test_a_write_that_is_applied_some_time_later(api, sim, list_id):
    sim.controls.inject(kind="status", late=True, late_seconds=90, method="POST")
    assert (await import_one(api, list_id)).status == 500
    await api.import_(list_id, ["b@example.net"])
    sim.controls.clock(advance=89)
    assert [write["email"] for write in sim.controls.writes()] == ["b@example.net"]
    sim.controls.clock(advance=1)
    assert [write["email"] for write in sim.controls.writes()] == ["b@example.net", "a@example.net"]


async def test_held_writes_are_released_one_by_one_or_never_applied(api, sim, list_id):
    sim.controls.inject(kind="status", late=True, count=None, method="*")
    for email in ("a@example.net", "b@example.net", "c@example.net"):
        await api.import_(list_id, [email])
    assert (await api.delete(f"/subscribers/{list_id}.json", email="x@example.net")).status == 500
    assert (await api.get("/clients.json")).status == 500
    second = sim.controls.held_calls()[1]["number"]
    assert len(sim.controls.held_calls()) == 4, "a read leaves nothing to apply"
    assert sim.controls.release_calls(second) == ["201"]
    assert sim.controls.drop_calls(second) == 0
    sim.controls.drop_calls(1)
    assert sim.controls.release_calls() == ["201", "400/203"]
    assert [write["email"] for write in sim.controls.writes()] == ["b@example.net", "c@example.net"]


def test_late_goes_with_a_call_that_is_cut_off_before_its_write(sim):
    for fault in ({"kind": "delay"}, {"kind": "reset", "after": True}):
        with pytest.raises(ValueError, match="late"):
            sim.controls.inject(late=True, **fault)


@pytest.mark.parametrize(
    ("spelling", "shown"),
    [("sent", "Ann@example.net"), ("upper", "ANN@EXAMPLE.NET"), ("quoted", '"Ann"@example.net'), ("empty", "")],
)
async def test_failures_may_show_an_address_in_another_spelling(api, sim, list_id, spelling, shown):
    sim.controls.change_settings(failure_spelling=spelling)
    sim.controls.refuse_rows({"ann@example.net": 206})
    (failure,) = (await api.import_(list_id, ["Ann@example.net"])).json["ResultData"]["FailureDetails"]
    assert (failure["EmailAddress"], failure["Code"]) == (shown, 206)


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


async def test_latency_grows_with_the_rows(api, sim, list_id):
    """Time of the handler and of reading the body counts: it is a floor, not something on top."""
    sim.controls.change_settings(latency_ms=20, latency_us_per_row=1_000)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await api.import_(list_id, [f"p{number}@example.net" for number in range(100)])
    assert 0.12 <= loop.time() - start < 1
    start = loop.time()
    await api.get(f"/lists/{list_id}/active.json", pagesize=50)
    assert 0.07 <= loop.time() - start < 1


async def test_a_row_with_a_long_value_may_be_refused(api, sim, list_id):
    key = sim.controls.add_field(list_id, "City")
    sim.controls.change_settings(value_limit="reject")
    rows = [
        {
            "EmailAddress": f"{value[:1]}@example.net",
            "ConsentToTrack": "No",
            "CustomFields": [{"Key": key, "Value": value}],
        }
        for value in ("a" * 251, "b")
    ]
    reply = await api.post(f"/subscribers/{list_id}/import.json", {"Subscribers": rows})
    (failure,) = reply.json["ResultData"]["FailureDetails"]
    assert (failure["EmailAddress"], failure["Code"]) == ("a@example.net", 400)
    assert [write["email"] for write in sim.controls.writes()] == ["b@example.net"]


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
