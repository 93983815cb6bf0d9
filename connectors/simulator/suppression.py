"""The suppression list of a client: read, suppress, unsuppress."""

from connectors.simulator.call import EMPTY, Answer, Call, Route
from connectors.simulator.dates import local_text
from connectors.simulator.errors import ApiError, undeserialisable
from connectors.simulator.paging import envelope, read_page
from connectors.simulator.roster import fold
from connectors.simulator.submission import is_email
from connectors.simulator.subscriptions import suppress as take_off_everywhere


def suppression_list(call: Call) -> Answer:
    """Answer a page of the suppressed addresses; these dates have seconds."""
    client = call.client()
    request = read_page(call.query, ("email", "date"))
    entries = sorted(
        client.suppressed.values(),
        key=lambda entry: (entry.at if request.field == "date" else 0, fold(entry.email)),
        reverse=request.descending,
    )
    first = (request.page - 1) * request.size
    rows = [
        {
            "SuppressionReason": entry.reason,
            "EmailAddress": entry.email,
            "Date": local_text(entry.at, client.zone),
            "State": "Suppressed",
        }
        for entry in entries[first : first + request.size]
    ]
    return Answer(envelope(rows, request, len(entries)))


def suppress(call: Call) -> Answer:
    """Suppress addresses; nothing happens when one of them is no address."""
    client, emails = call.client(), call.body().get("emailaddresses")
    if not isinstance(emails, list) or not all(isinstance(email, str) for email in emails):
        raise undeserialisable("emailAddresses")
    if not all(is_email(email.strip()) for email in emails):
        raise ApiError(1)
    for email in emails:
        take_off_everywhere(call.state, client, email.strip(), "Reason Unavailable", call.identity.label)
    return EMPTY


def unsuppress(call: Call) -> Answer:
    """Take an address off the suppression list; its state on lists stays. 176 when it is not there."""
    if call.client().suppressed.pop(fold(call.query.get("email", "")), None) is None:
        raise ApiError(176)
    return EMPTY


ROUTES = (
    Route("GET", "/clients/{clientid}/suppressionlist", suppression_list),
    Route("POST", "/clients/{clientid}/suppress", suppress, "ImportSubscribers", "emailAddresses"),
    Route("PUT", "/clients/{clientid}/unsuppress", unsuppress, "ImportSubscribers"),
)
