"""Commands and API do the same: each command that acts on the deployment has an operation, and the reverse."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest
import typer
from pydantic import BaseModel

from schemas.control import ExportJob, ImportJob
from schemas.export import BY_OTHERS, GENERATED
from streams.cli.job_changes import NOT_IN_AN_EDIT
from streams.cli.verbs import cli
from streams.console.api.openapi import OPERATIONS
from streams.console.api.operation import Operation
from tests.contract.test_command_line import leaves

BOTH: dict[str, set[str]] = {
    "auth add": {"add_authorization"},
    "auth list": {"list_authorizations", "show_authorization"},
    "auth rename": {"rename_authorization"},
    "auth remove": {"remove_authorization"},
    "auth test": {"show_access"},
    "auth reseal": {"reseal_authorizations"},
    "token create": {"create_token"},
    "token list": {"list_tokens"},
    "token revoke": {"revoke_token"},
    "job create-export": {"create_job", "replace_job"},
    "job create-import": {"create_job", "replace_job"},
    "job edit": {"edit_job"},
    "job list": {"list_jobs"},
    "job check": {"check_job"},
    "job show": {"show_job"},
    "job start": {"start"},
    "job stop": {"stop"},
    "job remove": {"remove_job"},
    "job confirm-removals": {"confirm_job_removals"},
    "job read-again": {"read_again"},
    "account clients": {"list_clients"},
    "account lists": {"list_lists"},
    "account fields": {"list_fields"},
    "account segments": {"list_segments"},
    "export audiences": {"list_audiences"},
    "export plan": {"plan_job"},
    "export reconcile": {"compare_job", "repair_job"},
    "import run": {"run_import", "estimate_import"},
    "import status": {"list_runs", "show_progress"},
    "send-event": {"send_event"},
    "receipts": {"list_receipts", "show_throughput"},
    "profile show": {"show_person", "show_field"},
    "erase": {"erase"},
    "audit": {"list_changes"},
    "lag": {"show_lag"},
    "check-topics": {"list_topics"},
    "dead-letters count": {"count_letters"},
    "dead-letters list": {"list_letters"},
    "dead-letters show": {"show_letter"},
    "dead-letters replay": {"replay_letters"},
    "dead-letters discard": {"discard_letters"},
}
"""Command -> the operations that do the same."""

LOCAL = {
    "up": "starts processes on this machine",
    "demo": "plays the demonstration to processes on this machine",
    "worker profiles": "is a process",
    "worker export": "is a process",
    "connector": "is a process",
    "webhooks": "is a process",
    "console": "is the process that serves the API",
    "simulator": "is a process",
    "completion": "is for the shell",
    "acls": "prints rules from settings and asks nobody",
    "apply": "compares a file of this machine with the jobs; its changes are those of other operations",
    "get jobs": "writes the file that `apply` reads; list_jobs has the same jobs",
    "auth login": "waits for a browser on this machine; the console's pages wait for one elsewhere",
    "auth new-key": "makes a secret for settings, which are not the API's",
    "validate": "reads standard input and asks nobody",
    "mapping check": "reads files of this machine",
    "mapping show": "reads files of this machine",
    "mapping rebuild": "builds a store on this machine, with processors stopped",
    "eval": "reads standard input and asks nobody",
    "explain": "reads files of this machine",
    "reset": "a processor has to be stopped on its machine first",
    "stores restore": "a processor has to be stopped on its machine first",
    "stores discard": "a processor has to be stopped on its machine first",
    "stores copy": "a processor has to be stopped on its machine first",
}
"""Commands without an operation, and why."""

API_ONLY = {
    "show_me": "a command has no caller",
    "list_campaigns": "a list for forms; imports name no campaigns",
    "list_users": "users are the console's: pages add the first",
    "create_user": "as list_users",
    "edit_user": "as list_users",
    "remove_user": "as list_users",
}
"""Operations without a command, and why."""


OTHER_WORDS: dict[str, dict[str, str]] = {
    "": {"authorization_id": "authorization", "token_id": "token", "job_id": "job"},
    "job": {
        "authorization": "authorization_id",
        "client": "client_id",
        "audience": "audiences",
        "field": "field_mappings",
        "consent_field": "consent_rule",
        "interval": "interval_seconds",
        "activity": "activities",
    },
    "job create-export": {"list": "list_id"},
    "job create-import": {"list": "lists"},
    "job edit": {"list": "list_id"},
    "send-event": {"enter": "audience", "exit": "audience", "snapshot": "audiences", "field": "user"},
    "erase": {"from_list": "lists"},
    "audit": {"last": "limit"},
    "dead-letters count": {"all": "done"},
    "dead-letters list": {"all": "done"},
}
"""Group or command -> option -> the parameter, where the two have other words for it."""

NO_PARAMETER: dict[str, dict[str, str]] = {
    "": {
        "json": "an answer is JSON",
        "watch": "a program asks again",
        "every": "as watch",
        "follow": "as watch",
        "dry_run": "shows what would be sent; whoever calls the API has it already",
    },
    "job": {
        "replace": "is `PUT`",
        "yes": "a program is not asked",
        "clear": "an option is null",
    },
    "export reconcile": {"repair": "is an operation of its own"},
    "import run": {"dry_run": "is an operation of its own"},
    "erase": {
        "authorization": "each list is that of a job, and of its authorization",
        "wait": "the API waits for ten seconds",
    },
    "check-topics": {"create": "topics are made where a deployment is set up"},
}
"""Group or command -> option without a parameter, and why."""

NO_OPTION: dict[str, dict[str, str]] = {
    "": {"limit": "a command prints all", "cursor": "as limit"},
    "auth add": {"api_key": "is asked for, or read from the environment: a shell keeps its arguments"},
    "auth list": {"authorization": "a list shows one, too"},
    "job": {"job": "an id that is there is replaced with --replace", "kind": "is in the command's name"},
    "job edit": {"lists": "its --list is that of an import, too"},
    "job list": {"state": "a shell has grep", "kind": "as state", "attention": "as state"},
    "send-event": {
        "change": "is in the option's name",
        "event_id": "a command makes one up",
        "schema_version": "a command writes the newest",
    },
    "receipts": {
        "outcome": "a shell has grep",
        "reason": "as outcome",
        "minutes": "is of the plot on a page",
        "slots": "as minutes",
    },
    "profile show": {"field": "a command explains all fields"},
    "erase": {"confirm": "whoever types the address has typed it"},
}
"""Group or command -> parameter without an option, and why."""


def test_each_command_has_an_operation_or_a_reason() -> None:
    commands = set(leaves(typer.main.get_command(cli)))
    assert commands == BOTH.keys() | LOCAL.keys()
    assert not BOTH.keys() & LOCAL.keys()


def test_each_operation_has_a_command_or_a_reason() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert set(names) == set().union(*BOTH.values()) | API_ONLY.keys()


@pytest.mark.parametrize("command", BOTH)
def test_each_option_has_a_parameter_and_each_parameter_an_option_or_a_reason(command: str) -> None:
    words, no_parameter, no_option = (of(table, command) for table in (OTHER_WORDS, NO_PARAMETER, NO_OPTION))
    options = {words.get(option, option) for option in options_of(command) - no_parameter.keys()}
    parameters = {name for operation in OPERATIONS if operation.name in BOTH[command] for name in taken(operation)}
    if command in KINDS:  # the other kind's options are those of another command
        parameters -= OWN[KINDS[command][1]] - OWN[KINDS[command][0]]
    assert options <= parameters, f"without a parameter: {options - parameters}"
    assert parameters - options <= no_option.keys(), f"without an option: {parameters - options - no_option.keys()}"


def test_no_reason_is_given_for_what_is_not_there() -> None:
    for table, needless in ((OTHER_WORDS, options_of), (NO_PARAMETER, options_of), (NO_OPTION, parameters_of)):
        for command, named in table.items():
            there = {
                name
                for known in BOTH
                if known == command or known.split()[0] == command or not command
                for name in needless(known)
            }
            assert named.keys() <= there, (command, named.keys() - there)


KINDS: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    "job create-export": (ExportJob, ImportJob),
    "job create-import": (ImportJob, ExportJob),
}
OWN = {model: set(model.model_fields) for model in (ExportJob, ImportJob)}


def of(table: dict[str, dict[str, str]], command: str) -> dict[str, str]:
    """What a table has of a command: for all, for its group, for itself."""
    return {**table[""], **table.get(command.split()[0], {}), **table.get(command, {})}


def options_of(command: str) -> set[str]:
    """The options and arguments of a command by the names of their flags; an edit takes those of both forms."""
    found: Any = typer.main.get_command(cli)
    for word in command.split():
        found = found.get_command(typer.Context(found), word)
    names = {name_of(parameter) for parameter in found.params} - {"help"}
    if command == "job edit":
        names |= set().union(*(options_of(form) for form in KINDS)) - {"id", *NOT_IN_AN_EDIT}
    return names


def name_of(parameter: Any) -> str:
    """What is typed, as a field is written."""
    return str(max(parameter.opts, key=len)).strip("-").replace("-", "_")


def parameters_of(command: str) -> set[str]:
    return {name for operation in OPERATIONS if operation.name in BOTH[command] for name in taken(operation)}


def taken(operation: Operation) -> Iterator[str]:
    """The parts of an operation's path, its query parameters, and the fields of its body."""
    yield from operation.parts
    for model in filter(None, (operation.query, operation.body)):
        yield from fields_of(model)


def fields_of(annotation: Any) -> Iterator[str]:
    """The fields of a model, of each of those that it may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        root = annotation.model_fields.get("root")
        yield from fields_of(root.annotation) if root else annotation.model_fields
    else:
        for inner in get_args(annotation):
            yield from fields_of(inner)


def test_the_description_is_valid_and_has_every_option_of_a_job() -> None:
    described = json.loads((GENERATED / BY_OTHERS).read_text(encoding="utf-8"))
    assert described["openapi"] == "3.1.0"
    schemas = described["components"]["schemas"]
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema({"title": name, **schema})
    kept = {"id", "kind", "state", "attention", "created_at", "updated_at", "started_at", "full_read"}
    for model in (ExportJob, ImportJob):
        wanted = model.model_fields.keys() - kept - {"removals_confirmed_at"}
        assert wanted <= schemas[f"New{model.__name__}"]["properties"].keys()
        assert wanted <= schemas["JobEdit"]["properties"].keys()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_operation_is_described(operation) -> None:
    assert operation.doc, "its docstring is its description"
    assert (operation.method == "GET") <= (operation.body is None)
    assert operation.needs != "viewer" or operation.method == "GET", "a viewer changes nothing"
