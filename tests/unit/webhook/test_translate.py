"""Webhook events as records, and the ids that they share with what the importer reads."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.translate import RowTranslator
from connectors.webhook.echo import OwnWrite, OwnWrites, is_echo
from connectors.webhook.translate import HookedList, InvalidEventError, as_model, to_activity
from schemas.import_task import Source

BERLIN = "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"
DATES = ClientDates.of(BERLIN)
TO = HookedList("l1", "News", "c1", "Acme", "imp", DATES)
RECEIVED = "2026-05-02T09:00:00.000Z"


def deactivated(state: str, **change: object) -> dict:
    return {
        "Type": "Deactivate",
        "Date": "2026-05-02 10:13:42",
        "EmailAddress": "Mara@Example.net",
        "Name": "Mara",
        "State": state,
        "CustomFields": [{"Key": "[city]", "Value": "Ghent"}],
        **change,
    }


def test_a_deactivate_has_the_mappings_words():
    record = to_activity(deactivated("Unsubscribed"), TO)
    assert record.key == b"mara@example.net"
    model = as_model(record)
    assert (model.event, model.status, model.source) == ("deactivate", "unsubscribe", "webhook")
    assert model.at == datetime(2026, 5, 2, 8, 13, 42, tzinfo=UTC)
    assert model.raw_date == "2026-05-02 10:13:42"
    assert model.custom_fields[0].key == "city"
    assert orjson.loads(record.value())["echo"] is False
    assert {to_activity(deactivated(s), TO).fields["status"] for s in ("Bounced", "Deleted")} == {
        "bounce",
        "delete",
    }


def test_a_field_whose_value_is_a_list_repeats_its_key():
    chosen = [
        {"Key": "[colour]", "Value": ["red", "blue", 7]},
        {"Key": "size", "Value": "M"},
        {"Key": "x", "Value": []},
    ]
    fields = as_model(to_activity(deactivated("Unsubscribed", CustomFields=chosen), TO)).custom_fields
    assert [(field.key, field.value) for field in fields] == [
        ("colour", "red"),
        ("colour", "blue"),
        ("colour", "7"),
        ("size", "M"),
    ]


def test_an_unsubscribe_has_one_id_from_every_source():
    webhook = to_activity(deactivated("Unsubscribed"), TO).fields["event_id"]
    campaign = Source(resource="report", client_id="c1", time_zone=BERLIN, campaign_id="k", report="unsubscribes")
    row = {"EmailAddress": "mara@example.net", "ListID": "l1", "Date": "2026-05-02 10:13:00", "IPAddress": "x"}
    (report,) = RowTranslator(campaign, "other job", DATES, RECEIVED).translate([row])
    assert report.event_id.hex() == webhook
    journey = Source(
        resource="journey_report", client_id="c1", time_zone=BERLIN, email_id="e", list_id="l1", report="unsubscribes"
    )
    row = {"EmailAddress": "mara@example.net", "Date": "2026-05-02 10:13:00", "IPAddress": "x"}
    assert RowTranslator(journey, "j", DATES, RECEIVED).translate([row])[0].event_id.hex() == webhook
    listing = Source(resource="users", client_id="c1", time_zone=BERLIN, list_id="l1", state="unsubscribed", gap=True)
    translator = RowTranslator(listing, "j", DATES, RECEIVED)
    row = {"EmailAddress": "MARA@example.net", "Date": "2026-05-02 10:13:42", "State": "Unsubscribed"}
    (polled,) = translator.translate([row])
    assert polled.record is not None
    assert orjson.loads(polled.record.value)["event_id"] == webhook


def test_the_same_event_posted_twice_has_one_id_and_another_has_another():
    base = {"Type": "Update", "Date": "2026-05-02 10:13:42", "EmailAddress": "a@example.net", "State": "Active"}
    event_id = to_activity(base, TO).fields["event_id"]
    assert to_activity(dict(reversed(base.items())), TO).fields["event_id"] == event_id
    assert to_activity({**base, "Name": "Ann"}, TO).fields["event_id"] != event_id
    assert to_activity({**base, "EmailAddress": "b@example.net"}, TO).fields["event_id"] != event_id


def test_a_changed_client_zone_gives_no_event_a_second_id():
    """All dates are written in the zone of the client as it is when they are read."""
    utc = HookedList("l1", "News", "c1", "Acme", "imp", ClientDates.of("(GMT) Coordinated Universal Time"))
    for kind in ("Subscribe", "Update", "Deactivate"):
        berlin = to_activity({**deactivated("Bounced"), "Type": kind}, TO).fields
        moved = to_activity({**deactivated("Bounced", Date="2026-05-02 08:13:42"), "Type": kind}, utc).fields
        assert (berlin["event_id"], berlin["at"]) == (moved["event_id"], moved["at"])
        assert berlin["raw_date"] != moved["raw_date"]


@pytest.mark.parametrize(
    "change",
    [{"Type": "Brandnew", "State": "Odd"}, {"Type": None, "CustomFields": None, "State": 3}, {"Type": 7}],
)
def test_an_unknown_type_is_kept_as_data(change):
    model = as_model(to_activity(deactivated("Bounced", **change), TO))
    assert model.event == str(change["Type"] or "unknown").lower()
    assert model.at == datetime(2026, 5, 2, 8, 13, 42, tzinfo=UTC)


NO_ADDRESS = ["", " ", None, 7, {"a": "mara@example.net"}, "mara"]
NO_DATE = ["", "yesterday", None, 7, "2026-13-45 10:00:00", "0001-01-01 00:00:00"]


@pytest.mark.parametrize("kind", ["Subscribe", "Update", "Deactivate", "Brandnew", None])
def test_what_no_record_can_do_without_is_refused(kind):
    for change in [*({"EmailAddress": value} for value in NO_ADDRESS), *({"Date": value} for value in NO_DATE)]:
        with pytest.raises(InvalidEventError):
            to_activity(deactivated("Bounced", Type=kind, **change), TO)
        missing = {name: value for name, value in deactivated("Bounced", Type=kind).items() if name not in change}
        with pytest.raises(InvalidEventError):
            to_activity(missing, TO)


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("Subscribe", ["", None, "Active", "Unconfirmed"]),
        ("Update", ["", None, "Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted"]),
        ("Deactivate", ["Unsubscribed", "bounced", "DELETED"]),
    ],
)
def test_a_state_that_the_type_cannot_have_is_refused(kind, states):
    for state in states:
        assert to_activity(deactivated(state, Type=kind), TO).fields["event"] == kind.lower()
    for state in ("weird", 3, *([] if None in states else ["Active", "", None])):
        with pytest.raises(InvalidEventError):
            to_activity(deactivated(state, Type=kind), TO)


def test_a_change_of_address_names_both():
    event = {
        "Type": "Update",
        "Date": "2026-05-02 10:12:00",
        "OldEmailAddress": "Old@example.net",
        "EmailAddress": "new@example.net",
        "SignupIPAddress": "TypeManual",
    }
    model = as_model(to_activity(event, TO))
    assert (model.email, model.old_email, model.ip) == ("new@example.net", "Old@example.net", None)
    same = as_model(to_activity({**event, "OldEmailAddress": "NEW@example.net", "SignupIPAddress": "203.0.113.9"}, TO))
    assert (same.old_email, same.ip) == (None, "203.0.113.9")


AT = datetime(2026, 5, 2, 10, 0, 30, tzinfo=UTC)
VIP = (("Audiences", "VIP"), ("Audiences", "EU"), ("City", "Ghent"))


@pytest.mark.parametrize(
    ("kind", "at", "values", "audiences", "echo"),
    [
        ("update", AT, VIP, {"VIP", "EU"}, True),
        ("subscribe", AT.replace(second=0), VIP, {"VIP", "EU"}, True),
        ("update", AT, VIP, {"VIP"}, False),
        ("update", AT, (), {"VIP"}, False),
        ("update", AT, VIP, set(), True),
        ("deactivate", AT, VIP, {"VIP", "EU"}, False),
        ("update", AT - timedelta(minutes=20), VIP, {"VIP", "EU"}, False),
        ("update", AT + timedelta(minutes=20), VIP, {"VIP", "EU"}, False),
    ],
)
def test_an_echo_is_our_write_for_the_same_person_at_the_same_time(kind, at, values, audiences, echo):
    assert is_echo(kind, "unsubscribe", at, values, [OwnWrite(AT, frozenset(audiences))]) is echo


@pytest.mark.parametrize(
    ("taken_off", "status", "at", "echo"),
    [
        ("unsubscribe", "unsubscribe", AT, True),
        ("delete", "delete", AT.replace(second=0), True),
        # another way of leaving, another time, or no removal of ours
        ("unsubscribe", "bounce", AT, False),
        ("unsubscribe", "delete", AT, False),
        ("unsubscribe", "unsubscribe", AT - timedelta(minutes=4), False),
        ("unsubscribe", "unsubscribe", AT + timedelta(minutes=4), False),
        (None, "unsubscribe", AT, False),
    ],
)
def test_a_deactivate_is_ours_when_we_took_the_person_off(taken_off, status, at, echo):
    writes = [OwnWrite(AT, frozenset(), taken_off)]
    assert is_echo("deactivate", status, at, (), writes) is echo


def test_writes_are_remembered_by_subscriber():
    writes = OwnWrites()
    for minute in (0, 1, 30):
        writes.add("l", "a@example.net", OwnWrite(AT + timedelta(minutes=minute), frozenset()))
    assert len(list(writes.of("l", "a@example.net"))) == 1
    assert not list(writes.of("l", "b@example.net"))
    assert not list(writes.of("m", "a@example.net"))
