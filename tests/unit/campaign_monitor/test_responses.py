"""Answers are read leniently, and refused with a sentence when they cannot be used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.client import responses
from connectors.campaign_monitor.client.entities import CustomField, ImportFailure, ListRef, SegmentRef

PAGE = {
    "Results": [{"EmailAddress": "a@x.example"}],
    "ResultsOrderedBy": "Date",
    "OrderDirection": "ASC",
    "PageNumber": 1,
    "PageSize": "1000",
    "RecordsOnThisPage": 1,
    "TotalNumberOfRecords": "541",
    "NumberOfPages": 3,
    "New": None,
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
READERS = [
    responses.page,
    responses.each(responses.client_ref),
    responses.client_details,
    responses.each(responses.list_ref),
    responses.list_details,
    responses.counters,
    responses.each(responses.custom_field),
    responses.subscriber,
    responses.import_result,
    responses.each(responses.segment_ref),
    responses.segment_details,
    responses.audience,
    responses.each(responses.journey_ref),
    responses.journey,
    responses.each(responses.webhook),
    responses.bare_string,
    responses.strings,
]


def test_a_page_with_numbers_as_text() -> None:
    page = responses.page(PAGE)
    assert (page.number, page.size, page.records, page.total, page.pages) == (1, 1000, 1, 541, 3)
    assert page.direction == "asc"
    assert not page.last


@pytest.mark.parametrize(
    "change", [{"PageNumber": 3}, {"Results": []}, {"Results": None}, {"NumberOfPages": 0}, {"PageNumber": 9}]
)
def test_the_last_page(change: dict[str, Any]) -> None:
    assert responses.page({**PAGE, **change}).last


def test_the_clients_key_is_dropped() -> None:
    details = responses.client_details(
        {"ApiKey": "canary", "BasicDetails": {"ClientID": "c", "TimeZone": "(GMT) Casablanca", "CompanyName": "A"}}
    )
    assert "canary" not in repr(details)
    assert "canary" not in str(details.raw)
    assert details.time_zone == "(GMT) Casablanca"


def test_a_client_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="TimeZone"):
        responses.client_details({"BasicDetails": {"ClientID": "c"}})


def test_a_subscriber() -> None:
    subscriber = responses.subscriber(
        {
            "EmailAddress": "a@x.example",
            "Name": "A",
            "State": "Active",
            "Date": "2026-01-02 03:04:00",
            "ConsentToTrack": "",
            "CustomFields": [{"Key": "in", "Value": "x"}, {"Key": "in", "Value": 7}, {"Key": "k"}, "odd"],
            "Unknown": [],
        }
    )
    assert subscriber.custom_fields == (("in", "x"), ("in", "7"), ("k", ""))
    assert subscriber.consent_to_track == ""
    assert subscriber.mobile_number is None


def test_an_import_result() -> None:
    result = responses.import_result(
        {
            "FailureDetails": [{"EmailAddress": "b@", "Code": "1", "Message": "m"}],
            "TotalUniqueEmailsSubmitted": 3,
            "TotalExistingSubscribers": 1,
            "TotalNewSubscribers": 1,
            "DuplicateEmailsInSubmission": None,
        }
    )
    assert result.failures == (ImportFailure("b@", 1, "m"),)
    assert (result.total_unique, result.existing, result.new, result.duplicates) == (3, 1, 1, ())


@pytest.mark.parametrize("value", [{}, None, "text", {"FailureDetails": "x"}])
def test_what_is_no_import_result_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"missing|expected"):
        responses.import_result(value)


def test_custom_fields_lists_and_segments() -> None:
    assert responses.custom_field(
        {"FieldName": "a b", "Key": "[ab]", "DataType": "MultiSelectMany", "FieldOptions": ["€", 2]}
    ) == CustomField("a b", "[ab]", "MultiSelectMany", ("€", "2"))
    assert responses.list_ref({"ListID": "l", "ListName": "n"}) == ListRef("l", "n")
    audience = responses.audience({"Lists": [{"ListID": "l", "Name": "n"}], "Segments": None})
    assert audience.lists == (ListRef("l", "n"),)
    assert responses.segment_ref({"SegmentID": "s"}) == SegmentRef("", "s", "")


def test_only_this_list_ignores_the_suppression_list() -> None:
    assert responses.list_details({"ListID": "l"}).honours_suppression
    assert not responses.list_details({"ListID": "l", "UnsubscribeSetting": "OnlyThisList"}).honours_suppression


def test_a_webhook_does_not_show_its_address() -> None:
    hook = responses.webhook(
        {"WebhookID": 1, "Events": ["Update"], "Url": "https://h/canary", "Status": "Active", "PayloadFormat": "Json"}
    )
    assert "canary" not in repr(hook)
    assert (hook.webhook_id, hook.format, hook.active) == ("1", "json", True)


def test_no_body_is_quoted() -> None:
    with pytest.raises(ValueError, match="12 bytes is no JSON") as caught:
        responses.document(b"<html>canary"[:12])
    assert "html" not in str(caught.value)


@given(value=ANY_JSON)
def test_readers_only_ever_raise_value_error(value: Any) -> None:
    for reader in READERS:
        try:
            reader(value)
        except ValueError:
            continue


@given(row=st.dictionaries(st.sampled_from(["EmailAddress", "CustomFields", "Date", "Rules", "Emails"]), ANY_JSON))
def test_odd_rows_only_ever_raise_value_error(row: dict[str, Any]) -> None:
    for reader in READERS:
        try:
            reader(row)
        except ValueError:
            continue
