"""Campaign and journey calls of the official client."""

import pytest
from createsend import BadRequest, Campaign, Client, Journey, JourneyEmail, NotFound, Template

from tests.contract.devkit.simulator.test_official_account import DATE, fields

GEO = {"IPAddress", "Latitude", "Longitude", "City", "Region", "CountryCode", "CountryName"}
ROWS = {
    "recipients": {"EmailAddress", "ListID"},
    "opens": {"EmailAddress", "ListID", "Date"} | GEO,
    "clicks": {"EmailAddress", "ListID", "Date", "URL"} | GEO,
    "unsubscribes": {"EmailAddress", "ListID", "Date", "IPAddress"},
    "spam": {"EmailAddress", "ListID", "Date"},
    "bounces": {"EmailAddress", "ListID", "BounceType", "Date", "Reason"},
}


@pytest.fixture
def campaigns(auth, ids):
    return Client(auth, ids["Acme Pty"]).campaigns(order_direction="desc").Results


@pytest.fixture
def campaign(auth, campaigns):
    return Campaign(auth, next(campaign.CampaignID for campaign in campaigns if campaign.Name == "Issue 1"))


def test_summary(campaign):
    summary = campaign.summary()
    assert fields(summary) == {
        "Name", "Recipients", "TotalOpened", "UniqueOpened", "Clicks", "Unsubscribed", "Bounced", "SpamComplaints",
        "Forwards", "Likes", "Mentions", "WebVersionURL", "WebVersionTextURL", "WorldviewURL",
    }  # fmt: skip
    opens = every(campaign.opens)
    assert summary.TotalOpened == len(opens)
    assert summary.UniqueOpened == len({row.EmailAddress for row in opens})
    assert summary.Clicks == len(every(campaign.clicks))
    assert summary.Bounced == len(every(campaign.bounces))
    assert summary.Recipients == len(every(campaign.recipients))


def test_client_usage_and_lists(campaign, auth, ids):
    usage = campaign.email_client_usage()
    assert all(fields(row) == {"Client", "Version", "Percentage", "Subscribers"} for row in usage)
    assert isinstance(usage[0].Percentage, float)
    assert sum(row.Percentage for row in usage) == 100
    where = campaign.lists_and_segments()
    assert fields(where) == {"Lists", "Segments"}
    assert [(entry.ListID, entry.Name) for entry in where.Lists] == [(ids["Newsletter"], "Newsletter")]


@pytest.mark.parametrize("kind", ROWS)
def test_reports(campaign, kind):
    read = getattr(campaign, kind)
    rows = every(read)
    assert rows
    assert all(fields(row) == ROWS[kind] for row in rows)
    page = read(page=1, page_size=10)
    assert (page.PageSize, page.RecordsOnThisPage, page.TotalNumberOfRecords) == (10, 10, len(rows)) or len(rows) < 10
    backwards = every(read, order_direction="desc")
    assert [vars(row)["EmailAddress"] for row in backwards] == [row.EmailAddress for row in rows][::-1]
    by_email = [row.EmailAddress for row in every(read, order_field="email")]
    assert by_email == sorted(by_email)
    if kind != "recipients":
        dates = [row.Date for row in rows]
        assert dates == sorted(dates)
        assert all(DATE.fullmatch(date) and date.endswith(":00") for date in dates)
        later = every(read, date=dates[len(dates) // 2][:16])
        assert [row.Date for row in later] == [date for date in dates if date >= dates[len(dates) // 2]]
        with pytest.raises(BadRequest) as wrong:
            read(date="soon")
        assert wrong.value.data.Code == 5


def test_rows_repeat_and_lack_places(campaign):
    rows = [
        tuple(sorted((k, str(v)) for k, v in vars(row).items() if k in ROWS["opens"])) for row in every(campaign.opens)
    ]
    assert len(set(rows)) < len(rows)
    assert any(row.Latitude is None for row in every(campaign.opens))
    assert any(row.Reason.endswith(" ") for row in every(campaign.bounces))
    assert {row.BounceType for row in every(campaign.bounces)} == {"Hard", "Soft"}


def test_unsent_campaigns_have_no_reports(auth, ids):
    draft = Client(auth, ids["Acme Pty"]).drafts()[0]
    with pytest.raises(NotFound):
        Campaign(auth, draft.CampaignID).summary()
    assert Campaign(auth, draft.CampaignID).lists_and_segments().Lists[0].Name == "Offers"


def test_journeys(auth, ids):
    shown = Client(auth, ids["Acme Pty"]).journeys()[0]
    assert (shown.Name, shown.Status, shown.ListID) == ("Welcome", "Active", ids["Newsletter"])
    summary = Journey(auth, shown.JourneyID).summary()
    assert fields(summary) == {"JourneyID", "Name", "TriggerType", "Status", "Emails"}
    mail = summary.Emails[0]
    assert fields(mail) == {
        "EmailID", "Name", "Bounced", "Clicked", "Opened", "Sent", "UniqueOpened", "Unsubscribed"
    }  # fmt: skip
    reports = JourneyEmail(auth, mail.EmailID)
    counts = {
        "recipients": mail.Sent, "opens": mail.Opened, "clicks": mail.Clicked, "bounces": mail.Bounced,
        "unsubscribes": mail.Unsubscribed,
    }  # fmt: skip
    for kind, total in counts.items():
        page = getattr(reports, kind)(page=1, page_size=10, order_direction="asc")
        assert page.TotalNumberOfRecords == total > 0
        assert page.OrderDirection == "ASC"
        assert page.ResultsOrderedBy == ("SentDate" if kind == "recipients" else "Date")
        wanted = {"EmailAddress", "SentDate"} if kind == "recipients" else ROWS[kind] - {"ListID"}
        assert fields(page.Results[0]) == wanted
        assert getattr(reports, kind)(date="2030-01-01").TotalNumberOfRecords == 0
    with pytest.raises(BadRequest) as wrong:
        Journey(auth, "nothing").summary()
    assert wrong.value.data.Code == 3000
    with pytest.raises(BadRequest) as wrong:
        JourneyEmail(auth, "nothing").opens()
    assert wrong.value.data.Code == 3002


def test_template(auth, ids):
    shown = Client(auth, ids["Acme Pty"]).templates()[0]
    assert Template(auth, shown.TemplateID).details().Name == "Two columns"


def every(read, **query):
    rows, page = [], 1
    while True:
        answer = read(page=page, page_size=100, **query)
        rows += answer.Results
        if page >= answer.NumberOfPages:
            return rows
        page += 1
