"""The fast translation writes what the models would write."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.translate import EVENTS, RowTranslator
from schemas.cm_activity import CmActivity
from schemas.cm_user import CmUser
from schemas.identity import normalise_email
from schemas.import_task import Source

BERLIN = "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"
DATES = ClientDates.of(BERLIN)
UNDATED = "2026-01-01T00:00:00.000Z"
CLIENT = {"client_id": "c1", "client_name": "Acme", "time_zone": BERLIN}
USERS = Source(resource="users", list_id="l1", list_name="News", state="active", **CLIENT)
SUPPRESSED = Source(resource="suppression", **CLIENT)
CAMPAIGN = Source(
    resource="report",
    report="opens",
    campaign_id="k1",
    campaign_name="Spring",
    sent_date="2026-03-01 09:00:00",
    list_names={"l1": "News"},
    **CLIENT,
)
JOURNEY = Source(
    resource="journey_report",
    report="recipients",
    journey_id="j1",
    journey_name="Welcome",
    email_id="e1",
    email_name="Hello",
    list_id="l1",
    list_name="News",
    **CLIENT,
)

PUBLISHED_IDS = [
    "36bfc06ae429035564f55364223ef37b",
    "76996d6023dea6336bb23d25e2e9df19",
    "19310b511dafb7137a82df25f185a79e",
]

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
dates = st.datetimes(datetime(2015, 1, 1), datetime(2026, 12, 31)).map(lambda at: f"{at:%Y-%m-%d %H:%M:%S}")
odd_dates = st.one_of(dates, st.sampled_from(["", "soon", None]))
emails = st.one_of(st.emails(), texts)
fields = st.lists(st.fixed_dictionaries({"Key": texts, "Value": st.one_of(texts, st.none())}), max_size=3)
people = st.fixed_dictionaries(
    {"EmailAddress": emails, "Name": texts, "Date": odd_dates, "State": st.sampled_from(["Active", "Deleted"])},
    optional={
        "ListJoinedDate": dates,
        "CustomFields": fields,
        "ReadsEmailWith": texts,
        "MobileNumber": texts,
        "ConsentToTrack": st.sampled_from(["Yes", "No", ""]),
        "ConsentToSendSms": st.sampled_from(["Yes", "No"]),
        "SuppressionReason": st.sampled_from(["Bounced", "Unsubscribed"]),
    },
)
acts = st.fixed_dictionaries(
    {"EmailAddress": emails, "Date": odd_dates},
    optional={
        "ListID": st.sampled_from(["l1", "l2"]),
        "URL": texts,
        "IPAddress": texts,
        "Latitude": st.one_of(st.none(), st.floats(-90, 90)),
        "Longitude": st.one_of(st.none(), st.floats(-180, 180)),
        "City": st.one_of(st.none(), texts),
        "Region": texts,
        "CountryCode": texts,
        "CountryName": texts,
        "BounceType": texts,
        "Reason": texts,
    },
)


def translated(source: Source, row: dict):
    (translated,) = RowTranslator(source, "job", DATES, UNDATED).translate([row])
    assert orjson.loads(translated.record.value)["event_id"] == translated.event_id.hex()
    return translated.record


@given(st.sampled_from([USERS, SUPPRESSED]), people)
def test_a_subscriber_is_what_the_model_writes(source, row):
    record = translated(source, row)
    model = CmUser.from_bytes(record.value)
    modelled = orjson.loads(model.to_bytes())
    assert modelled.pop("repeat") is False
    assert modelled == orjson.loads(record.value)
    assert model.email == row["EmailAddress"]
    assert record.key.decode() == (normalise_email(row["EmailAddress"]) or row["EmailAddress"])
    assert (model.client_id, model.job_id, model.status) == ("c1", "job", row["State"])


@settings(deadline=None)  # what clocks do in a year is computed once
@given(st.sampled_from([CAMPAIGN, JOURNEY]), st.sampled_from(sorted(EVENTS)), acts)
def test_an_activity_is_what_the_model_writes(source, report, row):
    record = translated(source.model_copy(update={"report": report}), row)
    model = CmActivity.from_bytes(record.value)
    written, modelled = orjson.loads(record.value), orjson.loads(model.to_bytes())
    assert modelled.pop("echo") is modelled.pop("repeat") is False
    assert modelled.pop("custom_fields") == []
    assert modelled == written
    assert (model.event, model.status) == EVENTS[report]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-01-15 12:00:00", "2026-01-15T11:00:00.000Z"),
        ("2026-07-15 12:00:00", "2026-07-15T10:00:00.000Z"),
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00.000Z"),
        ("soon", UNDATED),
    ],
)
def test_local_dates_become_utc_and_stay_as_text(local, utc):
    value = orjson.loads(translated(CAMPAIGN, {"EmailAddress": "a@b.example", "Date": local}).value)
    assert (value["at"], value["raw_date"]) == (utc, local)


def test_recipients_of_a_campaign_were_sent_it_when_it_was_sent():
    row = {"EmailAddress": "a@b.example", "ListID": "l1"}
    value = CmActivity.from_bytes(translated(CAMPAIGN.model_copy(update={"report": "recipients"}), row).value)
    assert (value.event, value.at, value.list_name) == ("sent", datetime(2026, 3, 1, 8, tzinfo=UTC), "News")


def test_rows_of_other_lists_and_older_ones_are_not_wanted():
    chosen = CAMPAIGN.model_copy(update={"lists": ["l1"], "since": "2026-03-05T00:00"})
    translator = RowTranslator(chosen, "job", DATES, UNDATED)
    row = {"EmailAddress": "a@b.example", "ListID": "l1", "Date": "2026-03-06 00:00:00"}
    rows = [row, {**row, "ListID": "l2"}, {**row, "Date": "2026-03-04 23:59:00"}]
    assert [translated.in_scope for translated in translator.translate(rows)] == [True, False, False]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 40))
def test_equal_rows_have_the_same_ids_wherever_a_page_ends(kinds, cut):
    rows = [
        {"EmailAddress": f"p{kind % 2}@b.example", "Date": f"2026-03-06 00:0{number // 10}:00", "ListID": "l1"}
        for number, kind in enumerate(kinds)
    ]
    whole = [row.event_id for row in RowTranslator(CAMPAIGN, "job", DATES, UNDATED).translate(rows)]
    assert len(set(whole)) == len(rows)
    translator = RowTranslator(CAMPAIGN, "job", DATES, UNDATED)
    first = translator.translate(rows[:cut])
    minute = first[-1].date[:16] if first else None
    held = {row.event_id[:6] for row in first if row.date[:16] == minute}
    assert [row.event_id for row in first + translator.translate(rows[cut:], minute, held)] == whole


def test_ids_are_those_that_were_published_before():
    """Ids that change would count what profiles know a second time."""
    row = {"EmailAddress": "Ann@b.example", "ListID": "l1", "Date": "2026-03-06 00:00:00", "IPAddress": "1.2.3.4"}
    opens = RowTranslator(CAMPAIGN, "job", DATES, UNDATED).translate([row, row])
    person = {"EmailAddress": "ann@b.example", "Date": "2026-03-06 00:00:00", "State": "Active", "CustomFields": []}
    (active,) = RowTranslator(USERS, "job", DATES, UNDATED).translate([person])
    assert [found.event_id.hex() for found in (*opens, active)] == PUBLISHED_IDS


@pytest.mark.parametrize("report", ["opens", "clicks", "unsubscribes", "bounces"])
def test_a_changed_client_zone_gives_no_event_a_second_id(report):
    """All dates of a report are written in the zone of the client as it is when it is read."""
    source = CAMPAIGN.model_copy(update={"report": report})
    berlin = {
        "EmailAddress": "ann@b.example",
        "ListID": "l1",
        "Date": "2026-03-06 00:30:00",
        "URL": "https://b.example",
    }
    moved = {**berlin, "Date": "2026-03-05 23:30:00"}
    utc = ClientDates.of("(GMT) Coordinated Universal Time")
    before = RowTranslator(source, "job", DATES, UNDATED).translate([berlin, berlin])
    after = RowTranslator(source, "job", utc, UNDATED).translate([moved, moved])
    assert [row.event_id for row in before] == [row.event_id for row in after]


def test_a_changed_client_zone_gives_no_subscriber_a_second_id():
    berlin = {
        "EmailAddress": "ann@b.example",
        "Date": "2026-03-06 00:30:00",
        "ListJoinedDate": "2026-03-01 00:10:00",
        "State": "Active",
    }
    moved = {**berlin, "Date": "2026-03-05 23:30:00", "ListJoinedDate": "2026-02-28 23:10:00"}
    utc = ClientDates.of("(GMT) Coordinated Universal Time")
    (before,) = RowTranslator(USERS, "job", DATES, UNDATED).translate([berlin])
    (after,) = RowTranslator(USERS, "job", utc, UNDATED).translate([moved])
    (edited,) = RowTranslator(USERS, "job", utc, UNDATED).translate([{**moved, "Name": "Ann"}])
    assert before.event_id == after.event_id != edited.event_id


def test_the_id_of_a_row_without_a_date_does_not_depend_on_when_it_was_read():
    row = {"EmailAddress": "ann@b.example", "ListID": "l1", "Date": "soon"}
    first, second = (
        RowTranslator(CAMPAIGN, "job", DATES, undated).translate([row]) for undated in (UNDATED, UNDATED[:-2] + "1Z")
    )
    assert first[0].event_id == second[0].event_id
