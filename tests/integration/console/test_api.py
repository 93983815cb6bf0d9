"""The API: who gets in, jobs from their making to their end, and each error as a problem."""

import asyncio
from typing import Any

from streams.console.api.entry import FORM_TOKEN
from streams.console.api.openapi import OPERATIONS
from tests.integration.console.api import Program, program, token
from tests.integration.console.conftest import ConsoleWorld
from tests.kafka_io import read_all


async def ready(world: ConsoleWorld, admin: Program) -> dict[str, Any]:
    """An authorization by key, and the options of an export that fits its account."""
    new = {"id": "acme", "description": "Acme Inc.", "api_key": world.simulator.api_key}
    answer = await admin.call("POST", "/authorizations", new)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"] == "/api/v1/authorizations/acme"
    assert world.simulator.api_key not in str(answer.body)
    account = {"authorization_id": "acme", "client_id": world.client_id}
    return {"kind": "export", **account, "list_id": world.list_id}


async def test_a_job_is_made_checked_stopped_started_and_removed(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    made = await admin.call("POST", "/jobs", {**export, "audiences": ["vip"], "on_last_exit": "unsubscribe"})
    assert made.status == 201, made.body
    job = f"/jobs/{made.body['id']}"
    assert made.headers["Location"] == f"/api/v1{job}"
    shown = await admin.call("GET", job)
    assert (shown.status, shown.body) == (200, made.body)
    assert (made.body["state"], made.body["on_last_exit"]) == ("running", "unsubscribe")
    assert (await admin.call("POST", f"{job}/stop")).body["state"] == "stopped"
    assert (await admin.call("POST", f"{job}/start")).body["state"] == "running"
    checked = await admin.call("GET", f"{job}/check")
    assert (checked.status, checked.body["fits"]) == (200, True), checked.body
    assert {check["name"] for check in checked.body["checks"]} >= {"account", "lists", "fields"}

    refused = await admin.call("DELETE", "/authorizations/acme")
    assert refused.status == 409
    assert made.body["id"] in refused.body["detail"]
    assert (await admin.call("GET", "/authorizations/acme")).body["jobs"] == [made.body["id"]]
    assert (await admin.call("DELETE", job)).status == 204
    assert (await admin.call("GET", job)).status == 404
    assert (await admin.call("DELETE", "/authorizations/acme")).status == 204


async def test_what_does_not_fit_names_the_field(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    for body, status, field in (
        ({**export, "list_id": "0" * 32}, 409, "list_id"),
        ({**export, "authorization_id": "nobody"}, 409, "authorization_id"),
        ({**export, "audience": ["vip"]}, 422, "export.audience"),
        ({**export, "removal_guard": 2}, 422, "export.removal_guard"),
        ({**export, "kind": "both"}, 422, ""),
    ):
        answer = await admin.call("POST", "/jobs", body)
        assert (answer.status, answer.body["faults"][0]["field"]) == (status, field), answer.body
    made = {**export, "id": "mine", "list_id": "0" * 32, "stopped": True}
    assert (await admin.call("POST", "/jobs?check=false", made)).body["state"] == "stopped"
    assert (await admin.call("POST", "/jobs?check=false", made)).status == 409, "there is one already"


async def test_an_account_is_listed_and_pages_follow_each_other(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    export = await ready(world, admin)
    clients = await admin.call("GET", "/accounts/acme/clients")
    assert {"client": world.client_id, "name": "Acme"} in clients.body["items"]
    lists = await admin.call("GET", f"/accounts/acme/lists?client={world.client_id}")
    assert [found["list"] for found in lists.body["items"]] == [world.list_id]
    for path in (f"lists/{world.list_id}/fields", f"lists/{world.list_id}/segments"):
        assert (await admin.call("GET", f"/accounts/acme/{path}")).body == {"items": []}
    assert (await admin.call("GET", f"/accounts/acme/clients/{world.client_id}/campaigns")).status == 200
    access = await admin.call("GET", "/authorizations/acme/access")
    assert {"client": world.client_id, "name": "Acme", "lists": 1} in access.body["clients"]
    assert all(access.body["permissions"].values())
    assert (await admin.call("GET", "/accounts/nobody/clients")).status == 404

    ids = [f"job-{number}" for number in range(5)]
    for job_id in ids:
        assert (await admin.call("POST", "/jobs?check=false", {**export, "id": job_id})).status == 201
    found, cursor = [], ""
    while True:
        page = await admin.call("GET", f"/jobs?limit=2&cursor={cursor}")
        found += [job["id"] for job in page.body["items"]]
        cursor = page.body["next"]
        if not cursor:
            break
    assert found == ids
    assert (await admin.call("GET", "/jobs?cursor=nonsense")).status == 400


async def test_tokens_have_roles_and_an_end(world: ConsoleWorld) -> None:
    admin, viewer = await program(world, "admin"), await program(world, "viewer")
    me = await viewer.call("GET", "/me")
    assert (me.body["role"], me.body["form_token"]) == ("viewer", "")
    made = await admin.call("POST", "/tokens", {"description": "a script", "role": "operator", "days": 1})
    assert made.status == 201
    text = made.body.pop("token")
    listed = await admin.call("GET", "/tokens")
    assert made.body in listed.body["items"]
    assert text.rpartition("_")[2] not in str(listed.body)
    script = await world.entered(Program(world.address, Authorization=f"Bearer {text}"))
    assert (await script.call("GET", "/me")).body["role"] == "operator"
    assert (await admin.call("DELETE", f"/tokens/{made.body['id']}")).status == 204
    refused = await script.call("GET", "/me")
    assert (refused.status, "Bearer" in refused.headers["WWW-Authenticate"]) == (401, True)
    assert (await admin.call("DELETE", f"/tokens/{made.body['id']}")).status == 404
    topic = world.kafka.names()["cm_console_users"]
    records = f"{await asyncio.to_thread(read_all, world.kafka.bootstrap_servers, topic)}"
    assert made.body["id"] in records
    assert text.rpartition("_")[2] not in records


async def test_each_operation_refuses_strangers_and_lower_roles(world: ConsoleWorld) -> None:
    ranks = ("viewer", "operator", "admin")
    programs = {role: await program(world, role) for role in ranks}
    stranger = await world.entered(Program(world.address))
    liar = await world.entered(Program(world.address, Authorization=f"Bearer {(await token(world, 'admin'))[:-1]}"))
    for operation in OPERATIONS:
        path = operation.path.replace("{", "").replace("}", "")
        for nobody in (stranger, liar):
            answer = await nobody.call(operation.method, path)
            assert (answer.status, answer.body["status"]) == (401, 401), operation.name
        for role in ranks[: ranks.index(operation.needs)]:
            answer = await programs[role].call(operation.method, path)
            assert (answer.status, operation.needs in answer.body["detail"]) == (403, True), operation.name


async def test_a_session_reads_and_needs_its_form_token_to_change(world: ConsoleWorld) -> None:
    browser = await world.admin()
    (cookie,) = browser.session.cookie_jar
    program = await world.entered(Program(world.address, Cookie=f"{cookie.key}={cookie.value}"))
    me = await program.call("GET", "/me")
    assert (me.body["name"], me.body["role"]) == ("ann", "admin")
    new = {"description": "a script", "role": "viewer"}
    for given in ({}, {FORM_TOKEN: "0" * 64}):
        assert (await program.call("POST", "/tokens", new, **given)).status == 403
    assert (await program.call("GET", "/tokens")).body["items"] == []
    made = await program.call("POST", "/tokens", new, **{FORM_TOKEN: me.body["form_token"]})
    assert (made.status, made.body["made_by"]) == (201, "ann")


async def test_every_refusal_is_a_problem(world: ConsoleWorld) -> None:
    admin = await program(world, "admin")
    big = {"description": "x" * 300_000, "role": "viewer"}
    for status, method, path, body, headers in (
        (404, "GET", "/nothing", None, {}),
        (404, "POST", "/../v2/jobs", None, {}),
        (404, "GET", "/jobs/nothing", None, {}),
        (405, "PUT", "/jobs", None, {}),
        (405, "POST", "/me", None, {}),
        (400, "GET", "/jobs?limit=many", None, {}),
        (400, "GET", "/jobs?unknown=1", None, {}),
        (400, "GET", "/me?unknown=1", None, {}),
        (413, "POST", "/tokens", big, {}),
        (415, "POST", "/tokens", {}, {"Content-Type": "text/plain"}),
        (422, "POST", "/tokens", {"role": "viewer"}, {}),
        (421, "GET", "/me", None, {"Host": "example.com"}),
    ):
        answer = await admin.call(method, path, body, **headers)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), (path, answer)
        assert (answer.body["status"], bool(answer.body["title"]), bool(answer.body["detail"])) == (status, True, True)
        assert answer.headers["Cache-Control"] == "no-store"
    assert (await admin.call("PUT", "/jobs")).headers["Allow"] == "GET, HEAD, POST"
    assert (await admin.call("HEAD", "/jobs")).status == 200
