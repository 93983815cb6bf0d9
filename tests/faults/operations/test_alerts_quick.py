"""Faults that take seconds: each alert is seen to fire on the real system, and to clear after the cure."""

import pytest

from tests.faults.operations.conftest import enters
from tests.faults.operations.running_system import API_KEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_records_and_posts_that_cannot_be_read(system):
    system.publish("audience-membership", [(b"person@example.com", b"{not json")])
    assert system.post_webhook(system.newsletter, b"{not json") == 200
    system.await_firing("CmStreamsDeadLetters", "CmStreamsWebhookDeadLetters")
    system.await_clear("CmStreamsDeadLetters", "CmStreamsWebhookDeadLetters")


def test_a_process_that_is_gone(system):
    system.kill("connector")
    system.await_firing("CmStreamsProcessDown")
    system.start("connector")
    system.await_clear("CmStreamsProcessDown")


def test_a_key_that_was_revoked(system):
    system.simulate("answer_credential", credential=API_KEY, code=100)
    system.publish("audience-membership", enters(["revoked@example.com"]))
    system.await_firing("CmStreamsCredentialRefused", "CmStreamsJobNeedsAttention")
    system.simulate("answer_credential", credential=API_KEY, code=None)
    system.command("auth", "add", "--id", "main", CAMPAIGN_MONITOR_API_KEY=API_KEY)
    system.await_clear("CmStreamsCredentialRefused", "CmStreamsJobNeedsAttention")
