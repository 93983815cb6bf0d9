"""The retry table, row by row: verdict -> what follows. With `chance` 0 a wait is half of the back-off."""

import pytest

from connectors.campaign_monitor.errors.verdicts import (
    Accepted,
    Forbidden,
    Malformed,
    Misconfigured,
    NotFound,
    PartialFailure,
    RowRefused,
    Transient,
    Unauthorised,
    Verdict,
)
from schemas.audience_delivery import Refusal
from streams.export.rules.codes import refused_sentence
from streams.export.rules.outcome import (
    AddressTaken,
    Blocked,
    Delivered,
    NotOnList,
    RefreshSchema,
    RetryLater,
    SendDecision,
    SplitRequest,
    SubscriberRejected,
    classify,
)


@pytest.mark.parametrize(
    ("verdict", "attempt", "decision"),
    [
        # accepted
        (Accepted(), 1, Delivered()),
        (PartialFailure(), 1, Delivered()),
        # may work later: the longer of the server's wait and the back-off; the scope waits
        (Transient("subscriber_throttled"), 1, RetryLater(0.25, "person")),
        (Transient("subscriber_throttled", after=9.0), 1, RetryLater(9.0, "person")),
        (Transient("rate_limited"), 1, RetryLater(0.25, "account")),
        (Transient("rate_limited", after=30.0), 1, RetryLater(30.0, "account")),
        (Transient("server_error"), 1, RetryLater(0.25, "list")),
        (Transient("server_error"), 2, RetryLater(0.5, "list")),
        (Transient("server_error"), 3, RetryLater(1.0, "list")),
        (Transient("network", after=4.0), 1, RetryLater(4.0, "list")),
        # never longer than half a minute, and never abandoned
        (Transient("server_error"), 50, RetryLater(15.0, "list")),
        (Transient("server_error"), 100_000, RetryLater(15.0, "list")),
        # it may have been applied: reading at once would find nothing
        (Transient("timeout", outcome_unknown=True), 1, RetryLater(2.0, "list", outcome_unknown=True)),
        (Transient("timeout", after=7.0, outcome_unknown=True), 1, RetryLater(7.0, "list", outcome_unknown=True)),
        (Transient("timeout", outcome_unknown=True), 50, RetryLater(15.0, "list", outcome_unknown=True)),
        # a throttled subscriber or account was not written, whatever else is known
        (Transient("subscriber_throttled", outcome_unknown=True), 1, RetryLater(0.25, "person")),
        (Transient("rate_limited", outcome_unknown=True), 1, RetryLater(0.25, "account")),
        (Malformed("HTML"), 1, RetryLater(2.0, "list", outcome_unknown=True)),
        (Malformed("HTML"), 50, RetryLater(15.0, "list", outcome_unknown=True)),
        # this subscriber is refused, or has to be written another way
        (RowRefused(203, "not_a_subscriber"), 1, NotOnList()),
        (RowRefused(201, "already_subscribed"), 1, AddressTaken()),
        (RowRefused(206, "unsubscribed"), 1, SubscriberRejected(206, "unsubscribed")),
        (RowRefused(204, "suppressed"), 9, SubscriberRejected(204, "suppressed")),
        (RowRefused(1, "invalid"), 1, SubscriberRejected(1, "invalid")),
        # the request as a whole
        (Misconfigured(400), 1, SplitRequest(400)),
        (Misconfigured(None), 1, SplitRequest(None)),
        (NotFound(253, "custom_field"), 1, RefreshSchema()),
        (NotFound(270, "segment"), 1, RefreshSchema()),
    ],
)
def test_what_follows_from_a_verdict(verdict: Verdict, attempt: int, decision: SendDecision) -> None:
    assert classify(verdict, attempt, 0.0) == decision


@pytest.mark.parametrize(
    ("verdict", "scope", "words"),
    [
        (Unauthorised(122, "reconnect", "log in again"), "account", "log in again"),
        (Unauthorised(60, "scope"), "account", "grant ManageLists"),
        (Unauthorised(100, "reconnect"), "account", "(code 100): connect it again"),
        (Unauthorised(121, "refresh"), "account", "(code 121): connect it again"),
        (Forbidden(102, "foreign_id"), "list", "(102): choose another list"),
        (Forbidden(403, "agency_only"), "list", "(code 403)"),
        (Forbidden(None, "denied"), "list", "does not allow this"),
        (NotFound(101, "list"), "list", "choose another list, or create it again"),
        (NotFound(None, "resource"), "list", "not there any more"),
    ],
)
def test_what_a_person_has_to_repair(verdict: Verdict, scope: str, words: str) -> None:
    blocked = classify(verdict, 1, 0.0)
    assert isinstance(blocked, Blocked)
    assert (blocked.scope, blocked.after) == (scope, 60.0)
    assert words in blocked.why


def test_chance_spreads_a_wait_over_its_upper_half() -> None:
    waits = [classify(Transient("network"), 3, chance) for chance in (0.0, 0.5, 1.0)]
    assert waits == [RetryLater(after, "list") for after in (1.0, 1.5, 2.0)]


@pytest.mark.parametrize("reason", Refusal)
@pytest.mark.parametrize("code", [None, 1, 206])
def test_every_refusal_has_a_sentence(reason: Refusal, code: int | None) -> None:
    assert len(refused_sentence(reason, code)) > 20
