"""Writing subscribers: add, update, unsubscribe, delete one, import up to a thousand; and reading one."""

from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import MESSAGES, SimulatedApiError, undeserialisable
from connectors.devkit.simulator.subscribers.flat_import import ImportWriter, RefusedRow, read_rows
from connectors.devkit.simulator.subscribers.listings import subscriber_json
from connectors.devkit.simulator.subscribers.submission import as_named, email_of, flag, read_submission
from connectors.devkit.simulator.subscribers.subscriptions import (
    WriteOptions,
    check_submission,
    opt_out,
    put_on_list,
    remove_from_list,
    rewrite,
)


def add(call: ApiCall) -> EndpointResult:
    """Add or edit a subscriber; it may have to wait in the queue before it shows."""
    target, body = call.list(), call.body()
    submission = read_submission(as_named(body))
    call.state.limits.write(call.state.clock.time(), target.list_id, submission.email)
    manner = WriteOptions(
        call.identity.label,
        "add",
        resubscribe=flag(body, "resubscribe"),
        queue=True,
        restart=flag(body, "restartsubscriptionbasedautoresponders"),
    )
    check_submission(target, submission, manner.resubscribe)

    def apply() -> None:
        try:
            put_on_list(call.state, target, submission, manner)
        except SimulatedApiError as error:  # refused by what happened while it waited: there is no caller to answer
            call.state.record_dropped(target, submission.email, "", "", f"queued add refused: {error}")

    call.state.schedule(call.state.settings.add_delay_seconds, apply)
    return EndpointResult(submission.email, 201)


def update(call: ApiCall) -> EndpointResult:
    """Change a subscriber in whatever state, the address too; never creates one."""
    target, body = call.list(), call.body()
    row = call.row(target, call.query.get("email"))
    body.setdefault("emailaddress", call.query.get("email"))
    submission = read_submission(as_named(body), wrong_email=211)
    call.state.limits.write(call.state.clock.time(), target.list_id, target.subscribers.email(row))
    manner = WriteOptions(
        call.identity.label,
        "update",
        resubscribe=flag(body, "resubscribe"),
        restart=flag(body, "restartsubscriptionbasedautoresponders"),
    )
    rewrite(call.state, target, row, submission, manner)
    return NO_BODY


def read(call: ApiCall) -> EndpointResult:
    """Answer a subscriber in whatever state."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    return EndpointResult(
        subscriber_json(
            call.state,
            target,
            row,
            tracking=call.wants("includetrackingpreference"),
            sms=call.wants("includesmspreference"),
        )
    )


def unsubscribe(call: ApiCall) -> EndpointResult:
    """Unsubscribe; 203 when the address is not on the list."""
    target = call.list()
    row = call.row(target, email_of(as_named(call.body())))
    if not opt_out(call.state, target, row, call.identity.label, "unsubscribe"):
        raise SimulatedApiError(203)
    return NO_BODY


def delete(call: ApiCall) -> EndpointResult:
    """Move a subscriber to the deleted ones; 203 when it is there already."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    quiet = not call.state.settings.delete_sends_deactivate
    if not remove_from_list(
        call.state, target, row, SimulatedState.DELETED, call.identity.label, "delete", quiet=quiet
    ):
        raise SimulatedApiError(203)
    return NO_BODY


SUBSCRIBER_ROUTES = (
    Endpoint("POST", "/subscribers/{listid}", add, "ImportSubscribers", "subscriber"),
    Endpoint("PUT", "/subscribers/{listid}", update, "ImportSubscribers", "subscriber"),
    Endpoint("GET", "/subscribers/{listid}", read),
    Endpoint("DELETE", "/subscribers/{listid}", delete, "ImportSubscribers"),
    Endpoint("POST", "/subscribers/{listid}/unsubscribe", unsubscribe, "ImportSubscribers", "subscriber"),
)


MAX_IMPORT = 1_000


def import_subscribers(call: ApiCall) -> EndpointResult:
    """Store every good row and answer what became of all; with a failure among them the answer is 400, code 210."""
    target, body = call.list(), call.body()
    rows = body.get("subscribers")
    if rows is None:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise undeserialisable("subscribers")
    if not rows:
        raise SimulatedApiError(212)
    if len(rows) > MAX_IMPORT:
        raise SimulatedApiError(209)
    manner = WriteOptions(
        call.identity.label,
        "import",
        resubscribe=flag(body, "resubscribe", "subscribers"),
        queue=flag(body, "queuesubscriptionbasedautoresponders", "subscribers"),
        restart=flag(body, "restartsubscriptionbasedautoresponders", "subscribers"),
    )
    submissions, duplicates = read_rows(rows, last_wins=call.state.settings.import_winner == "last")
    new, failures = 0, []
    refusals, writer = call.state.row_refusals, ImportWriter(call.state, target, manner)
    for folded, submission in submissions.items():
        try:
            if isinstance(submission, RefusedRow):
                raise submission.error
            if refusals and folded in refusals:
                raise SimulatedApiError(refusals[folded])
            new += writer.put(folded, submission)
        except SimulatedApiError as error:
            shown = spelled(submission.email, call.state.settings.failure_spelling)
            failures.append({"EmailAddress": shown, "Code": error.code, "Message": error.message})
    writer.flush()
    result = {
        "FailureDetails": failures,
        "TotalUniqueEmailsSubmitted": len(submissions),
        "TotalExistingSubscribers": len(submissions) - new - len(failures),
        "TotalNewSubscribers": new,
        "DuplicateEmailsInSubmission": duplicates,
    }
    if failures:
        raise SimulatedApiError(210, MESSAGES[210], result)
    return EndpointResult(result, 201)


def spelled(email: str, spelling: str) -> str:
    """Return an address as a failure shows it: `sent`, `upper`, `quoted` (another spelling of the same), or `empty`."""
    local, at, domain = email.rpartition("@")
    match spelling:
        case "upper":
            return email.upper()
        case "quoted":
            return f'"{local}"{at}{domain}'
        case "empty":
            return ""
    return email


IMPORT_ROUTES = (
    Endpoint("POST", "/subscribers/{listid}/import", import_subscribers, "ImportSubscribers", "subscribers"),
)
