"""Brokers that keep quiet: connections stay open and nothing is answered. Part of `make faults`."""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long_fault, pytest.mark.timeout(600)]


def test_brokers_that_do_not_answer(system):
    statuses = []
    system.broker.pause()
    try:
        system.await_firing(
            *("CmStreamsNotReady", "CmStreamsWebhookRefusing"),
            meanwhile=lambda: statuses.append(system.post_webhook(*left(system.newsletter))),
        )
    finally:
        system.broker.resume()
    system.await_clear("CmStreamsNotReady", "CmStreamsWebhookRefusing", "CmStreamsProcessDown")
    assert 503 in statuses


def left(list_id):
    """Return a list and a post about somebody who has left it."""
    event = {"Type": "Deactivate", "Date": "2026-01-01 10:00:00", "State": "Unsubscribed", "CustomFields": []}
    person = {"EmailAddress": "left@example.com", "Name": "Left"}
    return list_id, json.dumps({"ListID": list_id, "Events": [event | person]}).encode()
