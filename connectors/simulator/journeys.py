"""Journeys: the list of a client's, the summary of one, five reports of each mail."""

from functools import partial

from connectors.simulator.call import Answer, Call, Route
from connectors.simulator.errors import ApiError
from connectors.simulator.paging import envelope, read_page
from connectors.simulator.report_rows import JOURNEY_KINDS, row_json, since_date

_YEAR = 365 * 86_400


def of_client(call: Call) -> Answer:
    """Answer a client's journeys."""
    client = call.client()
    return Answer(
        [
            {"ListID": one.target.list_id, "JourneyID": one.journey_id, "Name": one.name, "Status": one.status}
            for one in call.state.journeys.values()
            if one.target.client is client
        ]
    )


def summary(call: Call) -> Answer:
    """Answer a journey with the counters of its mails."""
    one, now = call.state.journeys.get(call.path["journeyid"]), call.state.clock.now()
    if one is None:
        raise ApiError(3000)
    call.require(one.target.client)
    return Answer(
        {
            "JourneyID": one.journey_id,
            "Name": one.name,
            "TriggerType": one.trigger,
            "Status": one.status,
            "Emails": [
                {
                    "EmailID": mail.email_id,
                    "Name": mail.name,
                    "Bounced": mail.report("bounces").total(now),
                    "Clicked": mail.report("clicks").total(now),
                    "Opened": mail.report("opens").total(now),
                    "Sent": mail.report("recipients").total(now),
                    "UniqueOpened": mail.report("opens").unique(now),
                    "Unsubscribed": mail.report("unsubscribes").total(now),
                }
                for mail in one.emails
            ],
        }
    )


def report(call: Call, kind: str) -> Answer:
    """Answer a page of one kind of activity, of the last twelve months only."""
    mail, now = call.state.journey_emails.get(call.path["emailid"]), call.state.clock.now()
    if mail is None:
        raise ApiError(3002)
    client = mail.journey.target.client
    call.require(client)
    since = max(since_date(call, client), now - _YEAR)
    query = {name: value for name, value in call.query.items() if name != "orderfield"}
    request = read_page(query, ("date",))
    rows, total = mail.report(kind).page(request, now, since)
    shown = [row_json(row, kind, client.zone, list_id=False) for row in rows]
    field = "SentDate" if kind == "recipients" else "Date"
    return Answer(envelope(shown, request, total, field=field, upper=True))


ROUTES = (
    Route("GET", "/clients/{clientid}/journeys", of_client, "Automation"),
    Route("GET", "/journeys/{journeyid}", summary, "Automation"),
    *(
        Route("GET", f"/journeys/email/{{emailid}}/{kind}", partial(report, kind=kind), "Automation")
        for kind in JOURNEY_KINDS
    ),
)
