"""Keys and types of answers, as the fixtures of the official Python client (github campaignmonitor/createsend-python,
9.1.4, test/fixtures) have them: the simulator's answers hold at least these.
"""

import base64
import json
from typing import Any
from urllib.request import Request, urlopen

import pytest

FLOAT = (int, float, type(None))  # places are unknown at times
TITLE = {"ListID": str, "SegmentID": str, "Title": str}
PERSON = {"EmailAddress": str, "Name": str, "Status": str, "AccessLevel": int}
ADMIN = {"EmailAddress": str, "Name": str, "Status": str}
MAIL = dict.fromkeys(("CampaignID", "Name", "Subject", "FromName", "FromEmail", "ReplyTo"), str)
PREVIEW = {**MAIL, **dict.fromkeys(("DateCreated", "PreviewURL", "PreviewTextURL"), str), "Tags": [str]}
SUBSCRIBER = {
    **dict.fromkeys(("EmailAddress", "Name", "Date", "ListJoinedDate", "State"), str),
    "CustomFields": [{"Key": str, "Value": str}],
}
READER = {**SUBSCRIBER, "ReadsEmailWith": str}
CONSENT = {**READER, "ConsentToTrack": str}
ACT = dict.fromkeys(("EmailAddress", "ListID", "Date", "IPAddress"), str)
PLACE = {"Latitude": FLOAT, "Longitude": FLOAT, **dict.fromkeys(("City", "Region", "CountryCode", "CountryName"), str)}
JOURNEY_ACT = dict.fromkeys(("EmailAddress", "Date", "IPAddress"), str)
STATES = ("ActiveSubscribers", "Unsubscribes", "Deleted", "Bounces")
TIMES = ("Today", "Yesterday", "ThisWeek", "ThisMonth", "ThisYear")


def paged(row: Any) -> dict[str, Any]:
    counts = ("PageNumber", "PageSize", "RecordsOnThisPage", "TotalNumberOfRecords", "NumberOfPages")
    return {"Results": [row], "ResultsOrderedBy": str, "OrderDirection": str, **dict.fromkeys(counts, int)}


SHAPES: dict[str, Any] = {
    "clients": [{"ClientID": str, "Name": str}],
    "systemdate": {"SystemDate": str},
    "timezones": [str],
    "countries": [str],
    "billingdetails": {"Credits": int},
    "admins": [ADMIN],
    "admins?email={admin}": ADMIN,
    "primarycontact": {"EmailAddress": str},
    "clients/{client}": {
        "ApiKey": str,
        "AccessDetails": {"Username": str, "AccessLevel": int},
        "BasicDetails": dict.fromkeys(
            ("ClientID", "CompanyName", "ContactName", "EmailAddress", "Country", "TimeZone"), str
        ),
        "BillingDetails": {
            **dict.fromkeys(("BaseRatePerRecipient", "MarkupPerRecipient", "MarkupOnDelivery"), float),
            **dict.fromkeys(("BaseDeliveryRate", "BaseDesignSpamTestRate", "MarkupOnDesignSpamTest"), float),
            "CanPurchaseCredits": bool, "ClientPays": bool, "Credits": int, "Currency": str,
        },
    },
    "clients/{client}/lists": [{"ListID": str, "Name": str}],
    "clients/{client}/listsforemail?email={email}": [
        dict.fromkeys(("ListID", "ListName", "SubscriberState", "DateSubscriberAdded"), str)
    ],
    "clients/{client}/segments": [TITLE],
    "clients/{client}/campaigns": paged(
        {**MAIL, **dict.fromkeys(("SentDate", "WebVersionURL", "WebVersionTextURL"), str), "TotalRecipients": int,
         "Tags": [str]}
    ),
    "clients/{client}/scheduled": [{**PREVIEW, "DateScheduled": str, "ScheduledTimeZone": str}],
    "clients/{client}/drafts": [PREVIEW],
    "clients/{client}/tags": [{"Name": str, "NumberOfCampaigns": int}],
    "clients/{client}/journeys": [dict.fromkeys(("ListID", "JourneyID", "Name", "Status"), str)],
    "clients/{client}/templates": [dict.fromkeys(("TemplateID", "Name", "PreviewURL", "ScreenshotURL"), str)],
    "clients/{client}/people": [PERSON],
    "clients/{client}/primarycontact": {"EmailAddress": str},
    "clients/{client}/suppressionlist": paged(
        dict.fromkeys(("SuppressionReason", "EmailAddress", "Date", "State"), str)
    ),
    "lists/{list}": {
        **dict.fromkeys(("ListID", "Title", "UnsubscribePage", "ConfirmationSuccessPage", "UnsubscribeSetting"), str),
        "ConfirmedOptIn": bool,
    },
    "lists/{list}/stats": {
        f"{name}{time}": int
        for state in STATES
        for name, time in [(f"Total{state}", ""), *((state.replace("Active", "NewActive"), time) for time in TIMES)]
    },
    "lists/{list}/customfields": [
        {"FieldName": str, "Key": str, "DataType": str, "FieldOptions": [str], "VisibleInPreferenceCenter": bool}
    ],
    "lists/{list}/segments": [TITLE],
    "lists/{list}/webhooks": [
        {**dict.fromkeys(("WebhookID", "Url", "Status", "PayloadFormat"), str), "Events": [str]}
    ],
    "lists/{list}/active": paged(READER),
    "lists/{list}/active?includetrackingpreference=true": paged(CONSENT),
    **{f"lists/{{list}}/{state}": paged(READER) for state in ("unconfirmed", "unsubscribed", "bounced", "deleted")},
    "subscribers/{list}?email={email}": READER,
    "subscribers/{list}?email={email}&includetrackingpreference=true": CONSENT,
    "subscribers/{list}/history?email={opener}": [
        {"ID": str, "Type": str, "Name": str,
         "Actions": [dict.fromkeys(("Event", "Date", "IPAddress", "Detail"), str)]}
    ],
    "segments/{segment}": {"ActiveSubscribers": int, "RuleGroups": [{"Rules": [{"RuleType": str, "Clause": str}]}],
                           **TITLE},
    "segments/{segment}/active": paged(SUBSCRIBER),
    "campaigns/{campaign}/summary": {
        **dict.fromkeys(("Recipients", "TotalOpened", "Clicks", "Unsubscribed", "Bounced", "UniqueOpened"), int),
        **dict.fromkeys(("Mentions", "Forwards", "Likes", "SpamComplaints"), int),
        **dict.fromkeys(("WebVersionURL", "WorldviewURL"), str),
    },
    "campaigns/{campaign}/emailclientusage": [
        {"Client": str, "Version": str, "Percentage": float, "Subscribers": int}
    ],
    "campaigns/{campaign}/listsandsegments": {"Lists": [{"ListID": str, "Name": str}], "Segments": [TITLE]},
    "campaigns/{campaign}/recipients": paged({"EmailAddress": str, "ListID": str}),
    "campaigns/{campaign}/opens": paged({**ACT, **PLACE}),
    "campaigns/{campaign}/clicks": paged({**ACT, **PLACE, "URL": str}),
    "campaigns/{campaign}/unsubscribes": paged(ACT),
    "campaigns/{campaign}/spam": paged(dict.fromkeys(("EmailAddress", "ListID", "Date"), str)),
    "campaigns/{campaign}/bounces": paged(
        dict.fromkeys(("EmailAddress", "ListID", "BounceType", "Date", "Reason"), str)
    ),
    "journeys/{journey}": {
        **dict.fromkeys(("JourneyID", "Name", "TriggerType", "Status"), str),
        "Emails": [
            {"EmailID": str, "Name": str,
             **dict.fromkeys(("Bounced", "Clicked", "Opened", "Sent", "UniqueOpened", "Unsubscribed"), int)}
        ],
    },
    "journeys/email/{mail}/recipients": paged({"EmailAddress": str, "SentDate": str}),
    "journeys/email/{mail}/opens": paged({**JOURNEY_ACT, **PLACE}),
    "journeys/email/{mail}/clicks": paged({**JOURNEY_ACT, **PLACE, "URL": str}),
    "journeys/email/{mail}/bounces": paged(dict.fromkeys(("EmailAddress", "BounceType", "Date", "Reason"), str)),
    "journeys/email/{mail}/unsubscribes": paged(JOURNEY_ACT),
}  # fmt: skip


def differences(shape: Any, answer: Any, at: str) -> list[str]:
    """Return where an answer lacks a key, or has another type."""
    if isinstance(shape, dict):
        if not isinstance(answer, dict):
            return [f"{at}: no object"]
        lacking = [f"{at}.{key}: not there" for key in shape.keys() - answer.keys()]
        return lacking + [
            found
            for key in shape.keys() & answer.keys()
            for found in differences(shape[key], answer[key], f"{at}.{key}")
        ]
    if isinstance(shape, list):
        if not isinstance(answer, list):
            return [f"{at}: no array"]
        return [found for number, row in enumerate(answer) for found in differences(shape[0], row, f"{at}[{number}]")]
    right = type(answer) in shape if isinstance(shape, tuple) else type(answer) is shape
    return [] if right else [f"{at}: {type(answer).__name__}"]


def names_of(simulator: Any, ids: dict[str, str]) -> dict[str, str]:
    """What the paths name: the newest campaign, as somebody who looks at the account finds it."""
    state, list_id = simulator.state, ids["Newsletter"]
    newest = max((c for c in state.campaigns.values() if c.sent), key=lambda c: c.sent_at)
    journey = next(iter(state.journeys.values()))
    return {
        "admin": "owner@account.example",
        "client": ids["Acme Pty"],
        "list": list_id,
        "email": simulator.controls.subscribers(list_id, "Active", limit=1)[0]["EmailAddress"],
        "opener": next(newest.report("opens").rows(state.clock.now())).email,
        "segment": next(iter(state.segments)),
        "campaign": newest.campaign_id,
        "journey": journey.journey_id,
        "mail": journey.emails[0].email_id,
    }


@pytest.mark.parametrize("path", SHAPES)
def test_keys_and_types_of_an_answer(simulator, ids, path):
    resource, _, query = path.format(**names_of(simulator, ids)).partition("?")
    credential = base64.b64encode(f"{simulator.api_key}:x".encode()).decode()
    request = Request(
        f"{simulator.base_url}/{resource}.json?{query.replace('+', '%2B')}",
        headers={"Authorization": f"Basic {credential}"},
    )
    with urlopen(request) as answer:
        body = json.loads(answer.read())
    rows = body.get("Results", body) if isinstance(body, dict) else body
    assert rows, "nothing to compare"
    assert not differences(SHAPES[path], body, path)


@pytest.mark.parametrize("refused", [[], ["b@example.net"]])
def test_keys_and_types_of_an_import(simulator, ids, refused):
    simulator.call("refuse_rows", rows=dict.fromkeys(refused, 206))
    rows = [{"EmailAddress": f"{name}@example.net", "ConsentToTrack": "No"} for name in "ab"]
    request = Request(
        f"{simulator.base_url}/subscribers/{ids['Newsletter']}/import.json",
        data=json.dumps({"Subscribers": rows}).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(f"{simulator.api_key}:x".encode()).decode()},
        method="POST",
    )
    result = {
        **dict.fromkeys(("TotalUniqueEmailsSubmitted", "TotalExistingSubscribers", "TotalNewSubscribers"), int),
        "DuplicateEmailsInSubmission": [str],
        "FailureDetails": [{"EmailAddress": str, "Code": int, "Message": str}],
    }
    try:
        with urlopen(request) as answer:
            assert not differences(result, json.loads(answer.read()), "import")
        assert not refused
    except OSError as error:
        body = json.loads(error.read())  # type: ignore[attr-defined]  # an HTTPError
        assert refused
        assert not differences({"Code": int, "Message": str, "ResultData": result}, body, "import")
