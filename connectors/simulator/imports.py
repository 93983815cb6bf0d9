"""Import: up to a thousand subscribers in one call, each with its own outcome."""

from collections.abc import Mapping
from typing import Any

from connectors.simulator.call import Answer, Call, Route
from connectors.simulator.errors import MESSAGES, ApiError, undeserialisable
from connectors.simulator.roster import fold
from connectors.simulator.submission import as_named, email_of, flag, read_submission
from connectors.simulator.subscriptions import Manner, put_on_list

MAX_IMPORT = 1_000


def import_subscribers(call: Call) -> Answer:
    """Store every good row and answer what became of all; with a failure among them the answer is 400, code 210."""
    target, body = call.list(), call.body()
    rows = body.get("subscribers")
    if rows is None:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise undeserialisable("subscribers")
    if not rows:
        raise ApiError(212)
    if len(rows) > MAX_IMPORT:
        raise ApiError(209)
    manner = Manner(
        call.identity.label,
        "import",
        resubscribe=flag(body, "resubscribe", "subscribers"),
        queue=flag(body, "queuesubscriptionbasedautoresponders", "subscribers"),
        restart=flag(body, "restartsubscriptionbasedautoresponders", "subscribers"),
    )
    unique, duplicates = _unique(rows, last_wins=call.state.settings.import_winner == "last")
    submissions: list[tuple[str, Any]] = []
    for folded, row in unique.items():
        try:
            submissions.append((folded, read_submission(row, argument="subscribers")))
        except ApiError as error:
            if error.code == 400:
                raise
            submissions.append((folded, error))
    new, failures = 0, []
    refusals = call.state.row_refusals
    for folded, submission in submissions:
        try:
            if isinstance(submission, ApiError):
                raise submission
            if refusals and folded in refusals:
                raise ApiError(refusals[folded])
            new += put_on_list(call.state, target, submission, manner)
        except ApiError as error:
            shown = email_of(unique[folded])
            failures.append({"EmailAddress": shown, "Code": error.code, "Message": error.message})
    result = {
        "FailureDetails": failures,
        "TotalUniqueEmailsSubmitted": len(unique),
        "TotalExistingSubscribers": len(unique) - new - len(failures),
        "TotalNewSubscribers": new,
        "DuplicateEmailsInSubmission": duplicates,
    }
    if failures:
        raise ApiError(210, MESSAGES[210], result)
    return Answer(result, 201)


def _unique(rows: list[dict[str, Any]], *, last_wins: bool) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """Return the rows by folded address, keys as the API spells them, and the addresses that came more than once."""
    unique: dict[str, Mapping[str, Any]] = {}
    duplicates: dict[str, None] = {}
    for raw in rows:
        row = as_named(raw)
        email = email_of(row, "subscribers")
        folded = fold(email)
        if folded in unique:
            duplicates[email] = None
            if not last_wins:
                continue
        unique[folded] = row
    return unique, list(duplicates)


ROUTES = (Route("POST", "/subscribers/{listid}/import", import_subscribers, "ImportSubscribers", "subscribers"),)
