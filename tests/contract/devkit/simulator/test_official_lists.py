"""List, custom field, segment, subscriber and webhook calls of the official client."""

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import orjson
import pytest
from createsend import BadRequest, List, NotFound, Segment, Subscriber

from tests.contract.devkit.simulator.test_official_account import DATE, fields


def refused(call, *arguments, **named):
    with pytest.raises(BadRequest) as error:
        call(*arguments, **named)
    return error.value.data.Code


def test_list_life(auth, ids):
    one = List(auth)
    assert re.fullmatch("[0-9a-f]{32}", one.create(ids["Acme Pty"], "Fresh", "", False, ""))
    details = one.details()
    assert {name: getattr(details, name) for name in fields(details)} == {
        "ListID": one.list_id, "Title": "Fresh", "UnsubscribePage": "", "ConfirmedOptIn": False,
        "ConfirmationSuccessPage": "", "UnsubscribeSetting": "AllClientLists",
    }  # fmt: skip
    one.update("Fresher", "https://bye.example", True, "https://hi.example", "OnlyThisList")
    details = one.details()
    assert (details.Title, details.ConfirmedOptIn, details.UnsubscribeSetting) == ("Fresher", True, "OnlyThisList")
    stats = one.stats()
    assert len(fields(stats)) == 24
    assert all(getattr(stats, name) == 0 for name in fields(stats))
    assert refused(List(auth).create, ids["Acme Pty"], "fresher", "", False, "") == 250
    assert refused(List(auth).create, ids["Acme Pty"], "", "", False, "") == 251
    assert refused(one.update, "Fresh", "", False, "", "SomeLists") == 261
    one.delete()
    with pytest.raises(NotFound):
        one.details()
    assert refused(List(auth, ids["Offers"]).delete) == 252


def test_stats_count_states(auth, ids, simulator):
    stats = List(auth, ids["Newsletter"]).stats()
    counts = simulator.call("list_state", list_id=ids["Newsletter"])
    assert (stats.TotalActiveSubscribers, stats.TotalUnsubscribes, stats.TotalDeleted, stats.TotalBounces) == (
        counts["Active"], counts["Unsubscribed"], counts["Deleted"], counts["Bounced"]
    )  # fmt: skip
    assert 0 < stats.NewActiveSubscribersThisMonth < stats.NewActiveSubscribersThisYear < stats.TotalActiveSubscribers


def test_custom_fields(auth, ids):
    news = List(auth, ids["Newsletter"])
    shown = {field.Key: field for field in news.custom_fields()}
    assert {field.DataType for field in shown.values()} == {
        "Text", "Number", "MultiSelectOne", "MultiSelectMany", "Date", "Country", "USState"
    }  # fmt: skip
    assert fields(shown["[ShoeSize]"]) == {"FieldName", "Key", "DataType", "FieldOptions", "VisibleInPreferenceCenter"}
    assert shown["[Plan]"].FieldOptions == ["Free", "Plus", "Pro €"]
    one = List(auth)
    one.create(ids["Acme Pty"], "Fields", "", False, "")
    key = one.create_custom_field("Lytics Audiences", "MultiSelectMany", ["a", "b"])
    assert key == "[LyticsAudiences]"
    one.update_custom_field_options(key, ["c"], True)
    assert one.custom_fields()[0].FieldOptions == ["a", "b", "c"]
    one.update_custom_field_options(key, ["x"], False)
    assert one.custom_fields()[0].FieldOptions == ["x"]
    renamed = one.update_custom_field(key, "Audiences", False)
    assert renamed == "[Audiences]"
    assert one.custom_fields()[0].VisibleInPreferenceCenter is False
    assert refused(one.update_custom_field, key, "Again", True) == 253
    assert refused(one.create_custom_field, "", "Text") == 254
    assert refused(one.create_custom_field, "Aud iences", "Text") == 255
    assert refused(one.create_custom_field, "T", "Text", ["o"]) == 256
    assert refused(one.create_custom_field, "M", "MultiSelectOne", []) == 257
    assert refused(one.create_custom_field, "M", "Colour") == 259
    one.delete_custom_field("[Audiences]")
    assert one.custom_fields() == []


@pytest.mark.parametrize("state", ["active", "unconfirmed", "unsubscribed", "bounced", "deleted"])
def test_listings(auth, ids, simulator, state):
    news = List(auth, ids["Newsletter"])
    read = getattr(news, state)
    total = simulator.call("list_state", list_id=ids["Newsletter"])[state.capitalize()]
    pages = [read(page=page, page_size=10, order_field="email") for page in range(1, -(-total // 10) + 1)]
    emails = [row.EmailAddress for page in pages for row in page.Results]
    assert len(emails) == total == pages[0].TotalNumberOfRecords
    assert emails == sorted(set(emails))
    assert pages[0].NumberOfPages == len(pages)
    assert (pages[0].ResultsOrderedBy, pages[0].OrderDirection) == ("email", "asc")
    row = pages[0].Results[0]
    wanted = {"EmailAddress", "Name", "Date", "ListJoinedDate", "State", "CustomFields", "ReadsEmailWith"}
    assert fields(row) - {"MobileNumber"} == wanted
    assert row.State == state.capitalize()
    assert DATE.fullmatch(row.Date)
    assert row.ListJoinedDate <= row.Date
    tracked = read(order_field="date", order_direction="desc", include_tracking_preference=True).Results
    assert {subscriber.ConsentToTrack for subscriber in tracked} <= {"Yes", "No", ""}
    assert [subscriber.Date for subscriber in tracked] == sorted(
        (subscriber.Date for subscriber in tracked), reverse=True
    )
    middle = tracked[len(tracked) // 2].Date
    assert {subscriber.Date >= middle[:10] for subscriber in read(date=middle[:10]).Results} == {True}
    assert len(read(date=middle[:10]).Results) == sum(subscriber.Date >= middle[:10] for subscriber in tracked)


def test_paging_errors(auth, ids):
    read = List(auth, ids["Newsletter"]).active
    assert refused(read, page=0) == 800
    assert refused(read, page_size=9) == 801
    assert refused(read, page_size=1001) == 801
    assert refused(read, order_field="size") == 802
    assert refused(read, order_direction="up") == 803
    assert refused(read, date="32/13/2026") == 5
    assert read(page=99).Results == []


def test_subscriber_life(auth, ids):
    list_id, email = ids["Newsletter"], "mara+new@example.net"
    person = Subscriber(auth, list_id, email)
    entries = [{"Key": "[City]", "Value": "Ghent"}, {"Key": "Interests", "Value": "chess"},
               {"Key": "[Interests]", "Value": "cycling"}]  # fmt: skip
    assert person.add(list_id, email, "Mara Doe", entries, False, "Yes", mobile_number="+32470000001",
                      consent_to_track_sms="Yes") == email  # fmt: skip
    read = person.get(include_tracking_preference=True)
    assert (read.EmailAddress, read.Name, read.State, read.ConsentToTrack) == (email, "Mara Doe", "Active", "Yes")
    assert (read.Date, read.ListJoinedDate) == ("2026-06-15 22:00:00", "2026-06-15 22:00:00")  # Sydney in winter
    assert [(value.Key, value.Value) for value in read.CustomFields] == [
        ("City", "Ghent"), ("Interests", "chess"), ("Interests", "cycling")
    ]  # fmt: skip
    assert read.MobileNumber == "+32470000001"
    person.update("mara.doe@example.net", "Mara", [{"Key": "City", "Value": "", "Clear": True}], False, "Unchanged")
    assert [value.Key for value in person.get().CustomFields] == ["Interests", "Interests"]
    assert refused(Subscriber(auth, list_id, email).get) == 203
    person.unsubscribe()
    assert person.get().State == "Unsubscribed"
    assert refused(person.unsubscribe) == 203
    assert refused(person.add, list_id, "mara.doe@example.net", "", [], False, "Yes") == 206
    assert person.add(list_id, "mara.doe@example.net", "", [], True, "Yes") == "mara.doe@example.net"
    person.delete()
    assert person.get().State == "Deleted"
    assert refused(person.add, list_id, "not an address", "", [], False, "Yes") == 1
    assert refused(Subscriber(auth, list_id, "nobody@example.net").update, "x@example.net", "", [], False, "No") == 203
    other = Subscriber(auth, list_id, "p0000001.liam.doe@people.example")
    assert refused(other.update, "p0000000.mara.doe@people.example", "", [], False, "No") == 201
    assert refused(other.update, "no address", "", [], False, "No") == 211
    assert person.history() == []


def test_history(auth, ids, simulator):
    campaign = next(campaign for campaign in simulator.state.campaigns.values() if campaign.sent)
    row = next(campaign.report("clicks").rows(simulator.state.clock.now()))
    history = Subscriber(auth, row.list_id, row.email).history()
    entry = next(entry for entry in history if campaign.campaign_id == entry.ID)
    assert (entry.Type, entry.Name) == ("Campaign", campaign.name)
    clicks = [act for act in entry.Actions if act.Event == "Click"]
    assert clicks[0].Detail == row.url
    assert fields(clicks[0]) == {"Event", "Date", "IPAddress", "Detail"}
    assert {act.Detail for act in entry.Actions if act.Event == "Open"} <= {""}


def test_import(auth, ids):
    people = Subscriber(auth)
    rows = [{"EmailAddress": f"i{n}@example.net", "Name": f"I {n}", "ConsentToTrack": "No"} for n in range(5)]
    done = people.import_subscribers(ids["Audience export"], rows, False)
    assert fields(done) == {
        "FailureDetails", "TotalUniqueEmailsSubmitted", "TotalExistingSubscribers", "TotalNewSubscribers",
        "DuplicateEmailsInSubmission",
    }  # fmt: skip
    assert (done.TotalUniqueEmailsSubmitted, done.TotalNewSubscribers, done.FailureDetails) == (5, 5, [])
    mixed = [*rows, {**rows[0], "EmailAddress": "I0@EXAMPLE.net"}, {**rows[1], "EmailAddress": "broken"},
             {"EmailAddress": "late@example.net"}]  # fmt: skip
    partly = people.import_subscribers(ids["Audience export"], mixed, False)
    assert (partly.TotalUniqueEmailsSubmitted, partly.TotalExistingSubscribers, partly.TotalNewSubscribers) == (7, 5, 0)
    assert [(failure.EmailAddress, failure.Code) for failure in partly.FailureDetails] == [
        ("broken", 1),
        ("late@example.net", 214),
    ]
    assert partly.DuplicateEmailsInSubmission == ["I0@EXAMPLE.net"]
    assert refused(people.import_subscribers, ids["Audience export"], [], False) == 212
    many = [{"EmailAddress": f"m{n}@example.net", "ConsentToTrack": "No"} for n in range(1_001)]
    assert refused(people.import_subscribers, ids["Audience export"], many, False) == 209


def test_segments(auth, ids):
    one = Segment(auth)
    one.create(ids["Newsletter"], "From Ghent", [{"Rules": [{"RuleType": "[City]", "Clause": "EQUALS Ghent"}]}])
    details = one.details()
    assert fields(details) == {"ActiveSubscribers", "RuleGroups", "ListID", "SegmentID", "Title"}
    assert fields(details.RuleGroups[0].Rules[0]) == {"RuleType", "Clause"}
    page = one.subscribers(page_size=10, include_tracking_information=True)
    assert page.TotalNumberOfRecords == details.ActiveSubscribers > 0
    assert not hasattr(page.Results[0], "ReadsEmailWith")
    assert hasattr(page.Results[0], "ConsentToTrack")
    for row in page.Results:
        assert "Ghent" in [entry.Value for entry in row.CustomFields if entry.Key == "City"]
    one.add_rulegroup({"Rules": [{"RuleType": "Name", "Clause": "NOT_PROVIDED"}]})
    assert one.details().ActiveSubscribers < details.ActiveSubscribers
    assert len(one.details().RuleGroups) == 2
    one.update("Everybody named", [{"Rules": [{"RuleType": "Name", "Clause": "PROVIDED"}]}])
    assert one.details().Title == "Everybody named"
    one.clear_rules()
    assert one.details().RuleGroups == []
    assert {row.Title for row in List(auth, ids["Newsletter"]).segments()} >= {"Cyclists", "Everybody named"}
    with pytest.raises(BadRequest) as wrong:
        one.add_rulegroup({"Rules": [{"RuleType": "[City]", "Clause": "LIKES Ghent"}]})
    assert wrong.value.data.Code == 277
    result = wrong.value.data.ResultData[0]
    assert (result.Subject, result.Code, result.ClauseResults[0].Code) == ("[City]", 2703, 2715)
    assert refused(Segment(auth).create, ids["Newsletter"], "Cyclists", []) == 275
    one.delete()
    assert refused(one.details) == 271


class _Receiver(BaseHTTPRequestHandler):
    posts: list[dict] = []  # noqa: RUF012
    status = 200

    def do_POST(self):
        self.posts.append(orjson.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def receiver():
    handler = type("Receiver", (_Receiver,), {"posts": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


def test_webhooks(auth, ids, receiver):
    handler, url = receiver
    one = List(auth, ids["Newsletter"])
    hook = one.create_webhook(["Subscribe", "Deactivate"], url, "json")
    shown = {row.WebhookID: row for row in one.webhooks()}[hook]
    assert fields(shown) == {"WebhookID", "Events", "Url", "Status", "PayloadFormat"}
    assert (shown.Events, shown.Url, shown.Status, shown.PayloadFormat) == (
        ["Subscribe", "Deactivate"], url, "Active", "Json"
    )  # fmt: skip
    assert one.test_webhook(hook)
    assert [event["Type"] for event in handler.posts[0]["Events"]] == ["Subscribe", "Deactivate"]
    handler.status = 500
    with pytest.raises(BadRequest) as failed:
        one.test_webhook(hook)
    assert failed.value.data.Code == 610
    assert failed.value.data.ResultData.FailureResponseCode == "500"
    one.deactivate_webhook(hook)
    assert {row.WebhookID: row.Status for row in one.webhooks()}[hook] != "Active"
    one.activate_webhook(hook)
    assert {row.WebhookID: row.Status for row in one.webhooks()}[hook] == "Active"
    one.delete_webhook(hook)
    assert hook not in {row.WebhookID for row in one.webhooks()}
    assert refused(one.create_webhook, ["Subscribe"], "nowhere", "json") == 601
    assert refused(one.create_webhook, ["Subscribe"], url, "yaml") == 602
    assert refused(one.create_webhook, ["Open"], url, "json") == 603
