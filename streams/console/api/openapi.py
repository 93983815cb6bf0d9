"""All operations of the API, and their description as OpenAPI 3.1, which is made of them and their models."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import orjson
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from streams.console.api import (
    accounts,
    authorizations,
    callers,
    dead_letters,
    job_work,
    jobs,
    people,
    progress,
    records,
    topics,
    users,
)
from streams.console.api.operation import PATH_PARTS, PREFIX, Operation
from streams.console.api.problems import MEDIA_TYPE, Problem

OPERATIONS: tuple[Operation, ...] = (
    *callers.OPERATIONS,
    *users.OPERATIONS,
    *authorizations.OPERATIONS,
    *accounts.OPERATIONS,
    *jobs.OPERATIONS,
    *job_work.OPERATIONS,
    *progress.OPERATIONS,
    *people.OPERATIONS,
    *records.OPERATIONS,
    *dead_letters.OPERATIONS,
    *topics.OPERATIONS,
)
VERSION = "1"
EVERYWHERE = (400, 401, 403, 421, 503)
REFS = "#/components/schemas/{model}"

Use = tuple[type[BaseModel], JsonSchemaMode]
Refs = dict[Use, dict[str, Any]]


def openapi_json() -> str:
    """Return the OpenAPI document as it is committed and served."""
    return orjson.dumps(document(OPERATIONS), option=orjson.OPT_INDENT_2).decode() + "\n"


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the operations."""
    found, schemas = models_json_schema(list(_models(operations)), ref_template=REFS)
    refs = cast("Refs", found)
    problem = {MEDIA_TYPE: {"schema": refs[Problem, "serialization"]}}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, refs)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cm-streams",
            "version": VERSION,
            "description": "What `cm-streams` and the console's pages do, as JSON over HTTP.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The console's address."}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "responses": {
                _problem_name(status): {"description": HTTPStatus(status).phrase, "content": problem}
                for status in sorted({status for operation in operations for status in _refusals(operation)})
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by `cm-streams token create`."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "console",
                    "description": "A session of the console, `__Host-console` over TLS. Changes also need the header "
                    f"`X-Form-Token`, with `form_token` of `{PREFIX}/me`.",
                },
            },
        },
    }


def _models(operations: Sequence[Operation]) -> dict[Use, None]:
    """Return the models with how each is used, each once and in order."""
    found: dict[Use, None] = {(Problem, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            found[operation.body, "validation"] = None
        if operation.answer is not None:
            found[operation.answer, "serialization"] = None
    return found


def _operation(operation: Operation, refs: Refs) -> dict[str, Any]:
    summary, _, rest = operation.doc.partition("\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary,
        "description": "\n".join(filter(None, [rest.strip(), f"Needs the role {operation.needs}."])),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_header_parameters(operation)],
        "responses": {str(status): answer for status, answer in sorted(_responses(operation, refs).items())},
    }
    if operation.body is not None:
        schema = refs[operation.body, "validation"]
        described["requestBody"] = {"required": True, "content": {_media_type(operation): {"schema": schema}}}
    return described


def _media_type(operation: Operation) -> str:
    return "application/merge-patch+json" if operation.method == "PATCH" else "application/json"


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARTS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in operation.parts
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema()
    required = schema.get("required", [])
    parameters = []
    for name, field in schema["properties"].items():
        about = {key: value for key, value in field.items() if key not in ("title", "description")}
        parameter = {"name": name, "in": "query", "required": name in required}
        parameters.append({**parameter, "description": field.get("description", ""), "schema": about})
    return parameters


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    if not operation.if_match:
        return []
    return [
        {
            "name": "If-Match",
            "in": "header",
            "required": operation.needs_match,
            "description": "The `ETag` of what is changed, as it was read; `*`: whatever it is.",
            "schema": {"type": "string"},
        }
    ]


def _responses(operation: Operation, refs: Refs) -> dict[int, dict[str, Any]]:
    done: dict[str, Any] = {"description": "Done." if operation.answer is None else "The answer."}
    if operation.answer is not None:
        done["content"] = {"application/json": {"schema": refs[operation.answer, "serialization"]}}
    if operation.has_etag:
        done["headers"] = {"ETag": {"description": "Its version, for If-Match.", "schema": {"type": "string"}}}
    statuses = _refusals(operation)
    refused = {status: {"$ref": f"#/components/responses/{_problem_name(status)}"} for status in statuses}
    return {**refused, (operation.status if operation.answer is not None else 204): done}


def _refusals(operation: Operation) -> set[int]:
    """Return the statuses of problems that an operation may answer with."""
    statuses = {*EVERYWHERE, 500}
    if operation.parts:
        statuses.add(404)
    if operation.body is not None:
        statuses |= {413, 415, 422}
    if operation.method != "GET":
        statuses.add(409)
    if operation.if_match:
        statuses |= {412, 428} if operation.needs_match else {412}
    return statuses | set(operation.problems)


def _problem_name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")
