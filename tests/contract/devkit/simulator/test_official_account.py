"""Account, client and OAuth calls of the official client."""

import re
from http.cookiejar import CookieJar
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, build_opener

import pytest
from createsend import (
    Administrator,
    BadRequest,
    Client,
    ClientError,
    CreateSend,
    ExpiredOAuthToken,
    NotFound,
    Person,
    Unauthorized,
)

DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def fields(thing):
    """The keys that an answer had."""
    return {name for name in vars(thing) if not name.startswith("__")}


def test_account_calls(auth):
    cs = CreateSend(auth)
    clients = cs.clients()
    assert [client.Name for client in clients] == ["Acme Pty", "Borealis Inc"]
    assert all(
        fields(client) == {"ClientID", "Name"} and re.fullmatch("[0-9a-f]{32}", client.ClientID) for client in clients
    )
    assert cs.systemdate() == "2026-06-15 12:00:00"
    assert cs.billing_details().Credits == 1_000
    assert "Belgium" in cs.countries()
    assert len(cs.countries()) > 230
    assert len(cs.timezones()) == 97
    assert "(GMT+10:00) Canberra, Melbourne, Sydney" in cs.timezones()
    assert fields(cs.administrators()[0]) == {"EmailAddress", "Name", "Status"}
    assert cs.get_primary_contact().EmailAddress == "owner@account.example"


def test_administrators(auth):
    admin = Administrator(auth, "new+one@account.example")
    assert admin.add("new+one@account.example", "New One").EmailAddress == "new+one@account.example"
    assert admin.get().Name == "New One"
    admin.update("new2@account.example", "New Two")
    assert admin.get().Name == "New Two"
    assert CreateSend(auth).set_primary_contact("new2@account.example").EmailAddress == "new2@account.example"
    admin.delete()
    with pytest.raises(BadRequest) as refused:
        admin.get()
    assert refused.value.data.Code == 1


def test_client_details_and_collections(auth, ids):
    client = Client(auth, ids["Acme Pty"])
    details = client.details()
    assert fields(details) == {"ApiKey", "AccessDetails", "BasicDetails", "BillingDetails"}
    assert fields(details.BasicDetails) == {
        "ClientID", "CompanyName", "ContactName", "EmailAddress", "Country", "TimeZone"
    }  # fmt: skip
    assert details.BasicDetails.TimeZone == "(GMT+10:00) Canberra, Melbourne, Sydney"
    assert fields(details.BillingDetails) >= {"Credits", "Currency", "ClientPays", "CanPurchaseCredits"}
    two_people = Client(auth, ids["Borealis Inc"]).details()
    assert "ContactName" not in fields(two_people.BasicDetails)
    assert "AccessDetails" not in fields(two_people)
    acme = Client(auth, ids["Acme Pty"])
    assert {entry.Name for entry in acme.lists()} == {"Newsletter", "Offers", "Event guests", "Audience export"}
    assert fields(acme.segments()[0]) == {"ListID", "SegmentID", "Title"}
    assert fields(acme.templates()[0]) == {"TemplateID", "Name", "PreviewURL", "ScreenshotURL"}
    assert fields(acme.people()[0]) == {"EmailAddress", "Name", "AccessLevel", "Status"}
    assert fields(acme.journeys()[0]) == {"ListID", "JourneyID", "Name", "Status"}
    assert acme.get_primary_contact().EmailAddress.startswith("contact@")


def test_people(auth, ids):
    person = Person(auth, ids["Acme Pty"])
    assert person.add(ids["Acme Pty"], "eve@acme.example", "Eve", 31, "secret").EmailAddress == "eve@acme.example"
    person.email_address = "eve@acme.example"
    assert person.get().Status == "Active"
    person.update("eva@acme.example", "Eva", 63)
    assert person.get().AccessLevel == 63
    acme = Client(auth, ids["Acme Pty"])
    assert acme.set_primary_contact("eva@acme.example").EmailAddress == "eva@acme.example"
    person.delete()
    assert "eva@acme.example" not in {person.EmailAddress for person in acme.people()}


def test_clients_come_and_go(auth, ids):
    client = Client(auth)
    made = client.create("New Ltd", "(GMT+12:00) Auckland, Wellington", "New Zealand")
    assert re.fullmatch("[0-9a-f]{32}", made)
    client.set_basics("Newer Ltd", "(GMT) Coordinated Universal Time", "Fiji")
    assert client.details().BasicDetails.CompanyName == "Newer Ltd"
    client.delete()
    with pytest.raises(Unauthorized) as refused:
        client.details()
    assert refused.value.data.Code == 102


def test_campaign_collections(auth, ids):
    acme = Client(auth, ids["Acme Pty"])
    page = acme.campaigns()
    assert (page.ResultsOrderedBy, page.OrderDirection, page.PageNumber, page.PageSize) == ("SentDate", "desc", 1, 1000)
    assert page.RecordsOnThisPage == page.TotalNumberOfRecords == len(page.Results) == 3
    assert page.NumberOfPages == 1
    wanted = {
        "CampaignID", "Name", "Subject", "FromName", "FromEmail", "ReplyTo", "SentDate", "TotalRecipients",
        "WebVersionURL", "WebVersionTextURL",
    }  # fmt: skip
    assert all(fields(campaign) - {"Tags"} == wanted for campaign in page.Results)
    dates = [campaign.SentDate for campaign in page.Results]
    assert dates == sorted(dates, reverse=True)
    assert all(DATE.fullmatch(date) for date in dates)
    assert [campaign.Name for campaign in acme.campaigns(tags="Spring,news").Results] == ["Issue 1"]
    oldest = acme.campaigns(order_direction="asc", page_size=10).Results[0]
    assert oldest.SentDate == dates[-1]
    only = acme.campaigns(sent_from_date=dates[0][:10], sent_to_date=dates[0][:10]).Results
    assert [campaign.SentDate for campaign in only] == dates[:1]
    scheduled, draft = acme.scheduled()[0], acme.drafts()[0]
    assert {"DateScheduled", "ScheduledTimeZone", "DateCreated", "PreviewURL", "PreviewTextURL"} <= fields(scheduled)
    assert {"DateCreated", "PreviewURL", "PreviewTextURL"} <= fields(draft)
    assert draft.Name == "Half an idea"
    assert [(tag.Name, int(tag.NumberOfCampaigns)) for tag in acme.tags()] == [("news", 1), ("sale", 2), ("spring", 2)]
    with pytest.raises(BadRequest) as refused:
        acme.campaigns(sent_from_date="yesterday")
    assert refused.value.data.Code == 920


def test_suppression(auth, ids):
    acme = Client(auth, ids["Acme Pty"])
    page = acme.suppressionlist(page_size=10)
    assert page.ResultsOrderedBy == "email"
    assert page.TotalNumberOfRecords == 4
    assert all(
        fields(suppressed) == {"SuppressionReason", "EmailAddress", "Date", "State"} for suppressed in page.Results
    )
    assert {suppressed.SuppressionReason for suppressed in page.Results} <= {
        "Unsubscribed",
        "Bounced",
        "Reason Unavailable",
    }
    acme.suppress(["a+b@people.example", "c@people.example"])
    assert acme.suppressionlist().TotalNumberOfRecords == 6
    acme.unsuppress("a+b@people.example")
    with pytest.raises(BadRequest) as refused:
        acme.unsuppress("a+b@people.example")
    assert refused.value.data.Code == 176


def test_lists_for_email(auth, ids):
    found = Client(auth, ids["Acme Pty"]).lists_for_email("ann+events@guests.example")
    assert [(entry.ListName, entry.SubscriberState) for entry in found] == [("Event guests", "Active")]
    assert fields(found[0]) == {"ListID", "ListName", "SubscriberState", "DateSubscriberAdded"}


def test_wrong_credentials_and_routes(auth, ids):
    for path in (ids["Acme Pty"], "nothing/here"):
        with pytest.raises(Unauthorized) as refused:
            CreateSend({"api_key": "wrong"})._get(f"/clients/{path}.json")
        assert refused.value.data.Code == 100
    with pytest.raises(Unauthorized) as refused:
        CreateSend({"access_token": "wrong", "refresh_token": "x"}).clients()
    assert refused.value.data.Code == 120
    with pytest.raises(NotFound):
        CreateSend(auth)._get("/nothing/here.json")


def test_non_agency(auth, simulator):
    simulator.state.account.agency = False
    with pytest.raises(ClientError, match="403"):
        CreateSend(auth).billing_details()


def test_oauth(auth, simulator):
    cs = CreateSend(auth)
    url = cs.authorize_url("cm-streams", "http://127.0.0.1:1/back", "ManageLists,ViewReports", "state 1")
    query = parse_qs(urlsplit(url).query)
    form = {name: values[0] for name, values in query.items()}
    browser = build_opener(Stay(), HTTPCookieProcessor(CookieJar()))
    with browser.open(url) as page:
        assert "Password" in page.read().decode()
    login = {**form, "username": "simulator", "password": "simulator-password"}
    browser.open(f"{simulator.oauth_url}/login", urlencode(login).encode())
    with browser.open(url) as page:
        assert "ManageLists" in page.read().decode()
    code = _redirected(browser, simulator.oauth_url, form | {"decision": "allow"})
    assert code["state"] == ["state 1"]
    assert _redirected(browser, simulator.oauth_url, form | {"decision": "deny"})["error"] == ["access_denied"]
    with pytest.raises(BadRequest):
        cs.exchange_token("cm-streams", "simulator-secret", "http://127.0.0.1:1/back", "no such code")
    access, expires_in, refresh = cs.exchange_token(
        "cm-streams", "simulator-secret", "http://127.0.0.1:1/back", code["code"][0]
    )
    assert expires_in == 1_209_600
    assert "+" in refresh
    by_token = CreateSend({"access_token": access, "refresh_token": refresh})
    assert len(by_token.clients()) == 2
    with pytest.raises(Unauthorized) as refused:
        by_token.administrators()
    assert refused.value.data.Code == 60
    simulator.call("expire_tokens")
    with pytest.raises(ExpiredOAuthToken):
        by_token.clients()
    renewed = by_token.refresh_token()
    assert renewed[0] != access
    assert renewed[2] != refresh
    assert len(by_token.clients()) == 2
    simulator.call("revoke_tokens")
    with pytest.raises(Unauthorized) as refused:
        by_token.clients()
    assert refused.value.data.Code == 122


def test_oauth_errors_as_200(auth, simulator):
    simulator.call("change_settings", oauth_error_status=200)
    with pytest.raises(Exception, match="invalid_grant - Specified code was invalid or expired"):
        CreateSend(auth).exchange_token("cm-streams", "simulator-secret", "http://x.example", "no such code")


class Stay(HTTPRedirectHandler):
    """A browser that is sent nowhere: the answer itself is returned."""

    def http_error_302(self, _request, answer, *_args):
        return answer

    http_error_303 = http_error_302


def _redirected(browser, url, form):
    answer = browser.open(url, urlencode(form).encode())
    return parse_qs(urlsplit(answer.headers["Location"]).query)
