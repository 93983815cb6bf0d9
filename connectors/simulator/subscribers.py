"""One subscriber: add, update, read, unsubscribe, delete."""

from connectors.simulator.call import EMPTY, Answer, Call, Route
from connectors.simulator.errors import ApiError
from connectors.simulator.submission import as_named, email_of, flag, read_submission
from connectors.simulator.subscriber_listings import subscriber_json
from connectors.simulator.subscriptions import Manner, check_submission, opt_out, put_on_list, rewrite, take_off
from connectors.simulator.transitions import State


def add(call: Call) -> Answer:
    """Add or edit a subscriber; it may have to wait in the queue before it shows."""
    target, body = call.list(), call.body()
    submission = read_submission(as_named(body))
    call.state.limits.write(call.state.clock.time(), target.list_id, submission.email)
    manner = Manner(
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
        except ApiError as error:  # refused by what happened while it waited; nobody is there to be told
            call.state.drop(target, submission.email, "", "", f"queued add refused: {error}")

    call.state.later(call.state.settings.add_delay_seconds, apply)
    return Answer(submission.email, 201)


def update(call: Call) -> Answer:
    """Change a subscriber in whatever state, the address too; never creates one."""
    target, body = call.list(), call.body()
    row = call.row(target, call.query.get("email"))
    body.setdefault("emailaddress", call.query.get("email"))
    submission = read_submission(as_named(body), wrong_email=211)
    call.state.limits.write(call.state.clock.time(), target.list_id, target.roster.email(row))
    manner = Manner(
        call.identity.label,
        "update",
        resubscribe=flag(body, "resubscribe"),
        restart=flag(body, "restartsubscriptionbasedautoresponders"),
    )
    rewrite(call.state, target, row, submission, manner)
    return EMPTY


def read(call: Call) -> Answer:
    """Answer a subscriber in whatever state."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    return Answer(
        subscriber_json(
            call.state,
            target,
            row,
            tracking=call.wants("includetrackingpreference"),
            sms=call.wants("includesmspreference"),
        )
    )


def unsubscribe(call: Call) -> Answer:
    """Unsubscribe; 203 when the address is not there to leave."""
    target = call.list()
    row = call.row(target, email_of(as_named(call.body())))
    if not opt_out(call.state, target, row, call.identity.label, "unsubscribe"):
        raise ApiError(203)
    return EMPTY


def delete(call: Call) -> Answer:
    """Move a subscriber to the deleted ones; 203 when it is there already."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    quiet = not call.state.settings.delete_sends_deactivate
    if not take_off(call.state, target, row, State.DELETED, call.identity.label, "delete", quiet=quiet):
        raise ApiError(203)
    return EMPTY


ROUTES = (
    Route("POST", "/subscribers/{listid}", add, "ImportSubscribers", "subscriber"),
    Route("PUT", "/subscribers/{listid}", update, "ImportSubscribers", "subscriber"),
    Route("GET", "/subscribers/{listid}", read),
    Route("DELETE", "/subscribers/{listid}", delete, "ImportSubscribers"),
    Route("POST", "/subscribers/{listid}/unsubscribe", unsubscribe, "ImportSubscribers", "subscriber"),
)
