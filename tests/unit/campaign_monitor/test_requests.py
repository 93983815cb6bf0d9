"""Requests are written exactly as the reference wants them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.client.requests import (
    BY_DATE,
    Autoresponders,
    FieldWrite,
    Paging,
    Request,
    SubscriberWrite,
    import_body,
    segment_body,
    since,
    subscriber_body,
)

BASE = "https://api.example/api/v3.3"


def test_brackets_and_plus_are_percent_encoded() -> None:
    request = Request("PUT", "/lists/{}/customfields/{}", ("abc", "[ShoeSize]"), (("email", "a+b@x.example"),))
    assert request.url(BASE) == f"{BASE}/lists/abc/customfields/%5BShoeSize%5D.json?email=a%2Bb%40x.example"
    assert request.operation == "PUT /lists/{}/customfields/{}"


@given(ids=st.text(min_size=1), value=st.text())
def test_any_id_and_value_survives_the_address(ids: str, value: str) -> None:
    url = Request("GET", "/lists/{}/active", (ids,), (("email", value), ("page", "1"))).url(BASE + "/")
    assert url.startswith(BASE + "/lists/")
    parts = urlsplit(url)
    assert dict(parse_qsl(parts.query, keep_blank_values=True)) == {"email": value, "page": "1"}
    assert parts.path.count("/") == 5


def test_paging_always_says_its_order() -> None:
    assert dict(BY_DATE.query()) == {"page": "1", "pagesize": "1000", "orderfield": "date", "orderdirection": "asc"}
    assert dict(Paging(direction="desc").without_field().at(3).query()) == {
        "page": "3",
        "pagesize": "1000",
        "orderdirection": "desc",
    }


def test_a_subscriber_holds_only_what_was_said() -> None:
    assert orjson.loads(subscriber_body(SubscriberWrite("a@x.example"))) == {
        "EmailAddress": "a@x.example",
        "ConsentToTrack": "Unchanged",
        "Resubscribe": False,
        "RestartSubscriptionBasedAutoresponders": False,
    }


def test_a_whole_subscriber() -> None:
    write = SubscriberWrite(
        "a@x.example",
        "A",
        [FieldWrite("[in]", "x"), FieldWrite("[in]", "y"), FieldWrite("[old]", clear=True)],
        "Yes",
        "",
        "No",
    )
    body = orjson.loads(subscriber_body(write, Autoresponders(resubscribe=True, restart=True)))
    assert body == {
        "EmailAddress": "a@x.example",
        "Name": "A",
        "MobileNumber": "",
        "ConsentToTrack": "Yes",
        "ConsentToSendSms": "No",
        "CustomFields": [
            {"Key": "[in]", "Value": "x"},
            {"Key": "[in]", "Value": "y"},
            {"Key": "[old]", "Value": "", "Clear": True},
        ],
        "Resubscribe": True,
        "RestartSubscriptionBasedAutoresponders": True,
    }


def test_an_import_resubscribes_and_queues_nothing_by_default() -> None:
    body: dict[str, Any] = orjson.loads(import_body([SubscriberWrite("a@x.example"), SubscriberWrite("b@x.example")]))
    assert [row["EmailAddress"] for row in body.pop("Subscribers")] == ["a@x.example", "b@x.example"]
    assert body == {
        "Resubscribe": False,
        "QueueSubscriptionBasedAutoresponders": False,
        "RestartSubscriptionBasedAutoresponders": False,
    }


@pytest.mark.parametrize("count", [0, 1001])
def test_an_import_of_a_wrong_size_is_not_sent(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        import_body([SubscriberWrite(f"{n}@x.example") for n in range(count)])


def test_an_import_with_one_address_twice_is_not_sent() -> None:
    with pytest.raises(ValueError, match="twice"):
        import_body([SubscriberWrite("a@x.example"), SubscriberWrite("A@X.example")])


def test_a_segment() -> None:
    assert orjson.loads(segment_body("T", [[("[in]", "EQUALS vip")]])) == {
        "Title": "T",
        "RuleGroups": [{"Rules": [{"RuleType": "[in]", "Clause": "EQUALS vip"}]}],
    }


def test_date_filters() -> None:
    assert since("date", None) == ()
    assert since("date", "2026-01-02") == (("date", "2026-01-02"),)
    assert since("date", datetime(2026, 1, 2, 3, 4)) == (("date", "2026-01-02 03:04"),)
    with pytest.raises(ValueError, match="client's zone"):
        since("date", datetime(2026, 1, 2, tzinfo=UTC))


def test_a_request_does_not_show_its_body() -> None:
    assert "secret" not in repr(Request("POST", "/lists/{}/webhooks", ("l",), body=b"secret"))
