"""The API held to its description: whatever is sent, no answer is a 500, and none is unlike what is described."""

import asyncio
import json
import os
import time
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streams.console.api.openapi import OPERATIONS, openapi_json
from tests.integration.console.api import program, token
from tests.integration.console.conftest import ConsoleWorld

EXAMPLES = int(os.environ.get("FAULT_API_EXAMPLES", "0"))
"""Of each operation, and of each way to make them; 0: a few."""
FEW = 2
ONLY = set(filter(None, os.environ.get("FAULT_API_OPERATIONS", "").split(",")))
"""Names of operations, where not all are exercised."""
CALL_SECONDS = 30
"""Longer than the API reads topics, 15."""
PARTS = 2 if EXAMPLES and not ONLY else 1
"""Of the operations, each with a broker and a console of its own: they run beside each other."""
MAX_LINE = 8_000
"""Bytes of an address; a longer one is refused by aiohttp, before any operation sees it."""
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
READS_MUCH = {"plan_job", "compare_job", "repair_job", "list_audiences", "count_letters", "list_topics"}
"""Each reads topics to their ends: a few examples are enough, because little of them is sent."""


@pytest.mark.timeout(7200 if EXAMPLES else 300)
@pytest.mark.parametrize("part", range(PARTS))
async def test_answers_are_as_described(world: ConsoleWorld, part: int) -> None:
    admin = await program(world, "admin")
    new = {"id": "acme", "description": "Acme Inc.", "api_key": world.simulator.api_key}
    assert (await admin.call("POST", "/authorizations", new)).status == 201
    account = {"authorization_id": "acme", "client_id": world.client_id}
    for job in ({"kind": "export", "list_id": world.list_id}, {"kind": "import"}):
        made = await admin.call("POST", "/jobs", {**job, **account, "id": job["kind"], "stopped": True})
        assert made.status == 201, made.body
    headers = {"Authorization": f"Bearer {await token(world, 'admin')}"}
    parts = {"authorization": "acme", "client": world.client_id, "list": world.list_id, "topic": "cm_user"}
    failures = await asyncio.to_thread(exercised, world.address, headers, parts, part)
    assert not failures, "\n\n".join(failures)


def exercised(address: str, headers: dict[str, str], parts: dict[str, str], part: int) -> list[str]:
    """What was wrong with answers of this part, for data that fits the description and for data that does not."""
    schema = from_dict(json.loads(openapi_json()))
    failures: list[str] = []
    count = 0
    operations = [result.ok() for result in schema.get_all_operations()]
    asked = [entry for entry in operations if not ONLY or entry.definition.raw["operationId"] in ONLY][part::PARTS]
    with requests.Session() as session:
        for operation in asked:
            name = operation.definition.raw["operationId"]
            examples = min(EXAMPLES, 25) if name in READS_MUCH and EXAMPLES else EXAMPLES or FEW
            for mode in GenerationMode:
                if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
                    continue
                count += 1
                began = time.monotonic()
                try:
                    run(operation, mode, examples, address, session, headers, parts)
                except (Exception, schemathesis.errors.SchemathesisError) as failure:
                    failures.append(f"{name} ({mode.value}): {explained(failure)}"[:4000])
                print(
                    f"{name} ({mode.value}): {time.monotonic() - began:.1f} s, {len(failures)} failures so far",
                    flush=True,
                )
    assert len(operations) == len(OPERATIONS)
    assert count >= len(asked)
    return failures


def explained(failure: BaseException) -> str:
    """What was wrong, with what a group of failures is made of: each with its cause and its notes."""
    inner = [*getattr(failure, "exceptions", ()), *filter(None, [failure.__cause__ or failure.__context__])]
    notes = getattr(failure, "__notes__", [])
    return "\n".join([f"{type(failure).__name__}: {failure}", *notes, *map(explained, inner)])


def takes_anything(operation: Any) -> bool:
    """Whether something can be sent that does not fit."""
    return bool(operation.body or operation.query or operation.headers or operation.path_parameters)


def run(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    address: str,
    session: requests.Session,
    headers: dict[str, str],
    parts: dict[str, str],
) -> None:
    """Send some examples, half of them to what is there. Raises what schemathesis finds."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), known=hypothesis.strategies.booleans())
    def sent(case: Any, known: bool) -> None:
        here = {**parts, "job": "export" if known else "import"}
        removes = case.method.upper() == "DELETE"  # what others use has to stay
        if mode is GenerationMode.POSITIVE and case.path_parameters and not removes:
            for part in case.path_parameters:
                case.path_parameters[part] = here.get(part, case.path_parameters[part])
        response = case.call(base_url=address.rstrip("/"), session=session, headers=headers, timeout=CALL_SECONDS)
        if response.status_code == 400 and len(response.request.url or "") > MAX_LINE:
            return
        # A 503 is an answer that is described, for a broker that takes too long; a 500 never is.
        assert response.status_code != 500, response.text
        case.validate_response(response, checks=CHECKS)

    sent()
