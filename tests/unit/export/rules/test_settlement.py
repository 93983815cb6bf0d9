"""What an answer changes in the row, row by row: what the list held, what was written, the answer -> held, receipts."""

from typing import Any

import orjson
import pytest

from schemas.audience_delivery import Outcome, Refusal
from schemas.cm_activity import CmActivity
from streams.export.rules.orders import mark_for_resend
from streams.export.rules.reported import Drift, record_activity
from streams.export.rules.row import (
    ENTER,
    EXIT,
    SNAPSHOT_IN,
    AudienceEntry,
    DeliveredPart,
    Held,
    MembershipRow,
    PendingChange,
)
from streams.export.rules.settlement import (
    NOT_KNOWN_AS_NEW,
    PendingAnswer,
    WrittenState,
    content_digest,
    pending_answers,
    record_delivered,
    record_refused,
    record_unchanged,
    state_to_write,
)
from tests.unit.export.rules.rows import EMAIL, LIST, desired, entry, held, job, listed, row

ENTERS = PendingAnswer("job-1", 9, 3_000, enters=True)
LEAVES = PendingAnswer("job-1", 9, 3_000, enters=False)
SUPERSEDED = PendingAnswer("job-1", 8, 2_500, enters=True, superseded=True)
ENTRY = {"entered": 2_000}
NOBODY = {"present": False, "audiences": ()}


def written(*answers: PendingAnswer, seen: int = 9, **values: Any) -> WrittenState:
    return WrittenState(EMAIL.encode(), 0, LIST, desired(**values), answers, seen, attempts=2)


@pytest.mark.parametrize(
    ("on_list", "answer", "wanted", "address", "added", "outcome"),
    [
        # the list reports whether it was new
        (None, ENTERS, {}, EMAIL, True, Outcome.ADDED),
        (None, ENTERS, {}, EMAIL, False, Outcome.UPDATED),
        (held(), ENTERS, {}, EMAIL, True, Outcome.ADDED),
        # else nothing is claimed
        (None, ENTERS, {}, EMAIL, None, Outcome.UPDATED),
        (held(address=None), ENTERS, {}, EMAIL, None, Outcome.UPDATED),
        (held(), ENTERS, {}, EMAIL, None, Outcome.UPDATED),
        # leaving one of several audiences, the last one, or none that the list held
        (held(audiences=["eu", "vip"]), LEAVES, {}, EMAIL, None, Outcome.REMOVED),
        (held(), LEAVES, NOBODY, EMAIL, False, Outcome.REMOVED),
        (held(), LEAVES, NOBODY, None, None, Outcome.REMOVED),
        (held(audiences=[]), LEAVES, NOBODY, None, None, Outcome.UNCHANGED),
        (None, LEAVES, NOBODY, None, None, Outcome.UNCHANGED),
        # replaced while the request was under way
        (None, SUPERSEDED, {}, EMAIL, True, Outcome.SUPERSEDED),
        # a refusal from before is over
        (held(code=206, used_entry=1_500), ENTERS, {"entered": 2_000}, EMAIL, None, Outcome.UPDATED),
    ],
)
def test_delivered(
    on_list: Held | None, answer: PendingAnswer, wanted: Any, address: str | None, added: bool | None, outcome: Outcome
) -> None:
    person = row(lists={} if on_list is None else {LIST: on_list})
    state = written(answer, **wanted)
    on_list_address = None if on_list is None else on_list.address
    (receipt,) = record_delivered(person, state, address, added=added)
    now = person.lists[LIST]
    audiences = list(state.desired.audiences) if address else []
    assert (receipt.outcome, receipt.position, receipt.attempts) == (outcome, answer.position, 2)
    assert receipt.audiences == tuple(audiences)
    uncertain = on_list_address is None and added is None and answer is ENTERS
    assert receipt.message == (NOT_KNOWN_AS_NEW if uncertain else None)
    assert (now.address, now.audiences, now.code, now.seen) == (address, audiences, 0, 9)
    assert now.used_entry == state.desired.entered
    assert now.digest == (content_digest(state.desired) if address else "")
    assert now.delivered["job-1"] == DeliveredPart("new", 9, exported=True)


@pytest.mark.parametrize(
    ("on_list", "answer", "wanted", "reason", "code", "then"),
    [
        # (address, audiences, code) and the newest entry that was used, afterwards
        (None, ENTERS, {}, Refusal.INVALID, 1, (None, [], 1, 0)),
        (None, ENTERS, {}, Refusal.NO_ADDRESS, None, (None, [], -1, 0)),
        # who left is on the list, under the address that was refused
        (None, ENTERS, {}, Refusal.UNSUBSCRIBED, 206, (EMAIL, [], 206, 0)),
        # old audiences that are no longer true were removed
        (held(audiences=["eu", "vip"]), ENTERS, {}, Refusal.SUPPRESSED, 204, (EMAIL, ["vip"], 204, 0)),
        (held(address="old@x.com"), ENTERS, {}, Refusal.DELETED, 205, ("old@x.com", ["vip"], 205, 0)),
        # an entry is used when it was refused since they had left, also where a job does not resubscribe
        (None, ENTERS, ENTRY, Refusal.UNSUBSCRIBED, 206, (EMAIL, [], 206, 2_000)),
        (None, ENTERS, {**ENTRY, "resubscribe": True}, Refusal.UNSUBSCRIBED, 206, (EMAIL, [], 206, 2_000)),
        (None, ENTERS, {**ENTRY, "resubscribe": True}, Refusal.INVALID, 1, (None, [], 1, 0)),
        # they may consent later
        (
            None,
            ENTERS,
            {**ENTRY, "resubscribe": True, "consent_rules": True},
            Refusal.BOUNCED,
            207,
            (EMAIL, [], 207, 0),
        ),
        (held(used_entry=1_500), LEAVES, NOBODY, Refusal.UNSUBSCRIBED, 206, (EMAIL, [], 206, 1_500)),
    ],
)
def test_refused(
    on_list: Held | None, answer: PendingAnswer, wanted: Any, reason: Refusal, code: int | None, then: Any
) -> None:
    person = row(lists={} if on_list is None else {LIST: on_list})
    (receipt,) = record_refused(person, written(answer, **wanted), reason, code, "why")
    now = person.lists[LIST]
    assert (receipt.outcome, receipt.reason, receipt.code, receipt.message) == (Outcome.REFUSED, reason, code, "why")
    assert (now.address, now.audiences, now.code, now.used_entry) == then
    assert now.delivered["job-1"].answered == 9


MINUTE = 60_000
NOON = 1_772_359_200_000
"""2026-03-01 10:00 UTC, when the webhook of `left` reports that Ann left."""


def left(person: MembershipRow) -> Drift:
    body = {"at": "2026-03-01T10:00:00Z", "email": EMAIL, "source": "webhook", "list_id": LIST, "event": "deactivate"}
    return record_activity(person, CmActivity.from_bytes(orjson.dumps(body)), [], str)


@pytest.mark.parametrize(
    ("removed", "drift", "act"),
    [
        # the webhook of our own removal, which clocks may date a little later
        (NOON, Drift.NONE, None),
        (NOON - 2 * MINUTE, Drift.NONE, None),
        (NOON + 9 * MINUTE, Drift.NONE, None),
        # they came back, and left by themselves
        (NOON - 3 * MINUTE, Drift.STATE, NOON),
    ],
)
def test_our_own_removal_is_no_act_of_theirs(removed: int, drift: Drift, act: int | None) -> None:
    person = row(lists={LIST: held()})
    record_delivered(person, written(LEAVES, **NOBODY), None, removed=removed)
    assert left(person) is drift
    assert (person.own_acts.get(LIST), person.lists[LIST].removed) == (act, removed if act is None else 0)


def test_the_webhook_of_our_removal_may_come_before_its_answer() -> None:
    for removed, acts in ((NOON + 1, {}), (NOON + 5 * MINUTE, {LIST: NOON})):
        person = row(lists={LIST: held()})
        left(person)
        record_delivered(person, written(LEAVES, **NOBODY), None, removed=removed)
        assert (person.own_acts, person.lists[LIST].code) == (acts, 0)


def test_a_refusal_after_our_removal_is_their_own() -> None:
    person = row(lists={LIST: held(address=None, removed=NOON)})
    record_refused(person, written(LEAVES, **NOBODY), Refusal.INVALID, 1)
    assert person.lists[LIST].removed == NOON
    record_refused(person, written(ENTERS), Refusal.UNSUBSCRIBED, 206)
    assert person.lists[LIST].removed == 0


def test_a_superseded_change_is_not_refused() -> None:
    (receipt,) = record_refused(row(), written(SUPERSEDED), Refusal.INVALID, 1)
    assert (receipt.outcome, receipt.reason, receipt.code) == (Outcome.SUPERSEDED, None, None)


def test_what_came_after_the_request_stays() -> None:
    parts = {"job-1": DeliveredPart("old", 4, (7, 12))}
    pending = [PendingChange(LIST, "vip", ENTER, position, 1, 1) for position in (8, 11)]
    person = row(lists={LIST: held(delivered=parts)}, pending=[*pending, PendingChange("other", "vip", ENTER, 8, 1, 1)])
    (receipt,) = record_unchanged(person, written(ENTERS))
    assert receipt.outcome is Outcome.UNCHANGED
    assert person.lists[LIST].delivered["job-1"] == DeliveredPart("new", 9, (12,), exported=True)
    assert [(change.list_id, change.position) for change in person.pending] == [(LIST, 11), ("other", 8)]


@pytest.mark.parametrize(
    ("audiences", "part", "of_job", "positions"),
    [
        ({"vip": entry()}, None, job(), [(5, True)]),
        ({"vip": entry(EXIT)}, None, job(), [(5, False)]),
        # has its receipt
        ({"vip": entry()}, DeliveredPart("", 5), job(), []),
        ({"vip": entry()}, DeliveredPart("", 4), job(), [(5, True)]),
        ({"vip": entry()}, DeliveredPart("", 4, (5,)), job(), []),
        # not the job's audience, or the job does not send
        ({"vip": entry()}, None, job(audiences=["eu"]), []),
        ({"vip": entry()}, None, job(state="stopped"), []),
        # before the job began
        ({"vip": entry(at=900)}, None, job(), []),
        ({"vip": entry(at=900)}, None, job(existing_users=True), [(5, True)]),
        ({"vip": entry(EXIT, at=900)}, None, job(existing_users=True), []),
        # a snapshot is one change, which enters when it enters any; changes come in order
        ({"vip": entry(SNAPSHOT_IN), "eu": entry(1)}, None, job(), [(5, True)]),
        ({"vip": entry(position=7), "eu": entry(EXIT, position=6)}, None, job(), [(6, False), (7, True)]),
    ],
)
def test_which_changes_wait_for_a_receipt(
    audiences: dict[str, AudienceEntry], part: DeliveredPart | None, of_job: Any, positions: list[Any]
) -> None:
    person = row(audiences, lists={} if part is None else {LIST: held(delivered={"job-1": part})})
    found = pending_answers(person, listed(of_job))
    assert [(answer.position, answer.enters) for answer in found] == positions


def test_superseded_changes_wait_too() -> None:
    changes = [PendingChange(LIST, "vip", ENTER, 5, 1, 1), PendingChange("other", "vip", ENTER, 6, 1, 1)]
    person = row({"vip": entry(EXIT, position=7)}, pending=changes)
    found = pending_answers(person, listed())
    assert [(answer.position, answer.superseded) for answer in found] == [(5, True), (7, False)]
    assert [state_to_write(b"a", 0, of, listed(), desired(), 1).seen for of in (person, row())] == [7, -1]


@pytest.mark.parametrize(
    ("on_list", "activity", "drift", "code"),
    [
        (held(), {"event": "update", "status": "active", "echo": True}, Drift.NONE, 0),
        (held(), {"event": "update", "status": "active", "options": ["vip"]}, Drift.NONE, 0),
        (held(), {"event": "update", "status": "active", "options": []}, Drift.CHANGED, 0),
        (held(), {"event": "subscribe", "options": ["vip", "eu"]}, Drift.CHANGED, 0),
        # the same content is repaired once
        (held(repaired_digest="written"), {"event": "update", "status": "active", "options": []}, Drift.NONE, 0),
        # who left, once
        (held(), {"event": "deactivate", "status": "unsubscribe"}, Drift.STATE, 206),
        (held(), {"event": "deactivate", "status": "bounced"}, Drift.STATE, 207),
        (held(), {"event": "deactivate", "status": "deleted"}, Drift.STATE, 205),
        (held(), {"event": "deactivate"}, Drift.STATE, 206),
        # known from a refusal, but not since when
        (held(code=206), {"event": "deactivate", "status": "unsubscribe"}, Drift.STATE, 206),
        # who came back by themselves
        (held(code=206), {"event": "subscribe", "options": ["vip"]}, Drift.CHANGED, 0),
        (held(code=206), {"event": "update", "status": "active", "options": ["vip"]}, Drift.CHANGED, 0),
        (held(code=206), {"event": "update", "status": "unsubscribed", "options": []}, Drift.NONE, 206),
        # never written by us
        (held(address=None), {"event": "subscribe", "options": []}, Drift.NONE, 0),
        (held(), {"event": "open"}, Drift.NONE, 0),
    ],
)
def test_what_a_webhook_changes(on_list: Held, activity: dict[str, Any], drift: Drift, code: int) -> None:
    body = {"at": "2026-03-01T10:00:00Z", "email": EMAIL, "source": "webhook", "list_id": LIST, **activity}
    options = body.pop("options", [])
    body["custom_fields"] = [{"key": "[LyticsAudiences]", "value": option} for option in options]
    person = row(lists={LIST: on_list})
    found = record_activity(
        person, CmActivity.from_bytes(orjson.dumps(body)), ["Lytics Audiences"], lambda audience: audience
    )
    assert (found, on_list.code, person.due) == (drift, code, drift is Drift.CHANGED)
    assert (on_list.delivered["job-1"].digest == "") is (drift is Drift.CHANGED)
    if drift is Drift.STATE:
        again = record_activity(person, CmActivity.from_bytes(orjson.dumps(body)), [], lambda audience: audience)
        assert (again, list(person.own_acts)) == (Drift.NONE, [LIST])


def test_a_resend_drops_what_is_recorded() -> None:
    person = row(lists={LIST: held()})
    assert mark_for_resend(person, "other") is False
    assert mark_for_resend(person, LIST) is True
    assert (person.due, person.lists[LIST].digest, person.lists[LIST].delivered["job-1"].digest) == (True, "", "")


def test_a_superseded_change_that_has_its_receipt_waits_for_none() -> None:
    """The receipt was given while others before it still waited, as a row was transferred."""
    parts = {"job-1": DeliveredPart("", 3, (8,))}
    pending = [PendingChange(LIST, "vip", ENTER, position, 1, 1) for position in (8, 11)]
    person = row(lists={LIST: held(delivered=parts)}, pending=pending)
    assert [answer.position for answer in pending_answers(person, listed(job()))] == [11]
