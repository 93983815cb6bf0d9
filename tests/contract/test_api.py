"""Commands and API do the same: each command that acts on the deployment has an operation, and the reverse."""

import json

import jsonschema
import pytest
import typer

from schemas.control import ExportJob, ImportJob
from schemas.export import BY_OTHERS, GENERATED
from streams.cli.verbs import cli
from streams.console.api.openapi import OPERATIONS
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


def test_each_command_has_an_operation_or_a_reason() -> None:
    commands = set(leaves(typer.main.get_command(cli)))
    assert commands == BOTH.keys() | LOCAL.keys()
    assert not BOTH.keys() & LOCAL.keys()


def test_each_operation_has_a_command_or_a_reason() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert set(names) == set().union(*BOTH.values()) | API_ONLY.keys()


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
