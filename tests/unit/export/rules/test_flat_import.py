"""People of the common kind: one pass over bytes gives what the rules for everybody give."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.client.requests import Autoresponders, import_body
from schemas.control import ExportJob
from streams.export.recovery.receipts import PendingReceipt, ReceiptContext, output
from streams.export.rules.desired import desired_subscriber
from streams.export.rules.dropped import kinds_of
from streams.export.rules.due import mark_changed, mark_settled
from streams.export.rules.flat_import import FlatImport, FlatPlan, compile_plan, import_request
from streams.export.rules.immediate import add_not_exported, immediate_receipts
from streams.export.rules.jobs import AudienceName, AudienceNames, Exports, compile_exports
from streams.export.rules.membership import MembershipEvent, RankedChange, fold
from streams.export.rules.outstanding import record_outstanding, reset_positions
from streams.export.rules.routing import AttemptState, RequestKind, is_plain, is_plain_import, route_of
from streams.export.rules.row import ENTER, EXIT, MembershipRow, decode, encode, encode_held
from streams.export.rules.settlement import WrittenState, record_delivered, state_to_write
from streams.export.rules.values import field_name
from streams.export.sending import flat_calls
from streams.export.sending.direct_queue import FlatAnswer
from streams.export.sending.flat_calls import held_after, pass_of, receipts_of
from streams.export.sending.plan import subscriber_of
from tests.unit.export.rules.rows import EMAIL, LIST

SOURCE = 7
STARTED = 1_000
AUDIENCES = ("vip", "eu", "other", "b\u00e9")
NAMES = AudienceNames({name: AudienceName(name.upper(), 1) for name in AUDIENCES})
KEYS = {field_name(name): f"[{field_name(name)}]" for name in ("Lytics Audiences", "City", "Age", "Since")}
CONTEXT = ReceiptContext("audience-delivery", 3, "audience-membership", NAMES.option_of)

_odd = st.one_of(
    st.none(),
    st.sampled_from(["", "\u00e9" * 200, "no date", 'a"b']),
    st.booleans(),
    st.lists(st.integers(0, 3), max_size=2),
)
_values = st.one_of(*[st.sampled_from(["Ghent", "12", "1.5", "2020-02-02", "\u00e9"]), st.integers(-5, 5)] * 4, _odd)
_changes = st.tuples(
    st.sampled_from(["vip"] * 8 + ["eu"] * 4 + ["other", "b\u00e9"]),
    st.sampled_from([ENTER] * 5 + [EXIT]),
    st.sampled_from([3] * 12 + [0, -5, -200]),
    st.dictionaries(st.sampled_from(["name", "city"] * 6 + ["age", "since"] * 3 + ["email", "x"]), _values, max_size=3),
)
_batches = st.lists(st.lists(_changes, min_size=1, max_size=3), min_size=1, max_size=6)
_jobs = st.fixed_dictionaries(
    {},
    optional={
        "audiences": st.sampled_from([["vip"], ["vip", "eu"], []]),
        "existing_users": st.booleans(),
        "resubscribe_users": st.booleans(),
        "queue_autoresponders": st.booleans(),
        "name_field": st.sampled_from(["name", "city"]),
        "consent_to_track": st.sampled_from(["Yes", "No", "Unchanged"]),
        "on_last_exit": st.sampled_from(["keep", "unsubscribe"]),
    },
)


def exports_of(options: dict[str, Any]) -> Exports:
    at = datetime.fromtimestamp(STARTED / 1000, UTC)
    mapped = [("city", "City", "Text"), ("age", "Age", "Number"), ("since", "Since", "Date")]
    mappings = [{"user_field": user, "custom_field": field, "data_type": kind} for user, field, kind in mapped]
    values = {"id": "job-1", "authorization_id": "a", "client_id": "c", "list_id": LIST, "field_mappings": mappings}
    job = ExportJob(**{**values, "created_at": at, "updated_at": at, "started_at": at, **options})
    return compile_exports([job], NAMES, {LIST: 2})


def _careful(exports: Exports, value: bytes | None, events: list[MembershipEvent]) -> tuple[Any, ...]:
    """Fold, plan and settle by the rules for everybody; what a plain import's acceptance gives, else only the row."""
    listed = exports.lists[LIST]
    row = decode(value) if value else MembershipRow()
    was_due, settled = row.due, row.settled
    reset_positions(row, SOURCE)
    given_at_once = []
    for event in events:
        result = fold(row, event)
        receipts = immediate_receipts(row, event, result, exports, lambda _: False)
        record_outstanding(row, event, result, exports, receipts, lambda *_: False)
        given_at_once += receipts
    mark_changed(row, [], was_due=was_due, settled=settled)
    held = row.lists.get(LIST)
    desired = desired_subscriber(row, EMAIL, listed, held, NAMES.option_of)
    if desired is None or not is_plain(row) or was_due:
        return row, None
    route = route_of(held, desired, AttemptState())
    if not is_plain_import(held, desired, route) or desired.address != EMAIL:
        return row, None
    state = state_to_write(EMAIL.encode(), 0, row, listed, desired, 1)
    known = held is not None and held.address is not None
    return row, (state, route, known, given_at_once, desired)


def _deliver(exports: Exports, row: MembershipRow, state: WrittenState, added: bool | None) -> list[Any]:
    receipts = record_delivered(row, state, EMAIL, added=added)
    add_not_exported(row, LIST, receipts, exports)
    mark_settled(row, LIST, due=bool(row.outstanding))
    return receipts


def plan_of(exports: Exports, kept: frozenset[Any]) -> FlatPlan:
    plan = compile_plan(exports.lists[LIST], exports, NAMES, KEYS, kept, 262_144)
    assert plan is not None
    return plan


def _compare(exports: Exports, value: bytes | None, events: list[MembershipEvent], new: int) -> bytes | None:
    """Compare both ways for a batch; returns the row after it."""
    row, planned = _careful(exports, value, events)
    plan = plan_of(exports, frozenset() if planned is None else frozenset(kinds_of(planned[4])))
    person = plan.person(EMAIL.encode(), events, value, SOURCE)
    assert pass_of(plan).person(EMAIL.encode(), events, value, SOURCE) == person
    if planned is None:
        assert person is None
        return encode(row)
    state, route, known, at_once, desired = planned
    added = new >= 1
    receipts = _deliver(exports, row, state, added)
    if person is None:
        return encode(row)
    assert at_once == []
    assert route.kind is RequestKind.IMPORT
    written = subscriber_of(desired, EMAIL, KEYS)
    assert import_request([person.entry], queue=route.queue) == import_body(
        [written], Autoresponders(queue=route.queue)
    )
    assert person.value == encode(row)
    assert person.known == known
    ours = receipts_of(CONTEXT, plan, [person], FlatAnswer(new=new), SOURCE, 9_999)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat_calls, "native_receipts", None)
        assert receipts_of(CONTEXT, plan, [person], FlatAnswer(new=new), SOURCE, 9_999) == ours
    pending = [PendingReceipt(EMAIL.encode(), receipt, SOURCE, None) for receipt in receipts]
    assert [record for _, record in ours] == [
        output(CONTEXT, receipt, 9_999)._replace(headers=()) for receipt in pending
    ]
    assert orjson.loads(person.value)["p"] == SOURCE
    return encode(row)


def _compare_scanned(exports: Exports, value: bytes) -> bool:
    """Compare both ways for a person who is found by a backfill; returns whether they are of the common kind."""
    listed, row = exports.lists[LIST], decode(value)
    held = row.lists.get(LIST)
    desired = desired_subscriber(row, EMAIL, listed, held, NAMES.option_of)
    kept = frozenset() if desired is None else frozenset(kinds_of(desired))
    plan = plan_of(exports, kept)
    person = plan.person(EMAIL.encode(), [], value, SOURCE)
    assert pass_of(plan).person(EMAIL.encode(), [], value, SOURCE) == person
    if person is None:
        return False
    assert desired is not None
    assert not row.due
    route = route_of(held, desired, AttemptState())
    assert is_plain_import(held, desired, route)
    state = state_to_write(EMAIL.encode(), 0, row, listed, desired, 1)
    assert person.known == (held is not None and held.address is not None)
    receipts = _deliver(exports, row, state, added=True)
    written = subscriber_of(desired, EMAIL, KEYS)
    assert import_request([person.entry], queue=route.queue) == import_body(
        [written], Autoresponders(queue=route.queue)
    )
    assert person.value == encode(row)
    assert held_after(person, LIST) == orjson.dumps(encode_held(row.lists[LIST]))
    ours = receipts_of(CONTEXT, plan, [person], FlatAnswer(new=1), SOURCE, 9_999)
    pending = [PendingReceipt(EMAIL.encode(), receipt, SOURCE, None) for receipt in receipts]
    assert [record for _, record in ours] == [
        output(CONTEXT, receipt, 9_999)._replace(headers=()) for receipt in pending
    ]
    return True


def _events(changes: list[Any], position: int) -> list[MembershipEvent]:
    return [
        MembershipEvent(EMAIL, at, (RankedChange(audience, rank, at),), None, user, (), position + number, at + 50)
        for number, (audience, rank, at, user) in enumerate(changes)
    ]


@settings(max_examples=400, deadline=None)
@given(_jobs, _batches, st.integers(0, 1))
@example({}, [[("vip", ENTER, 1, {"city": "Ghent"})], [("vip", ENTER, 1, {})]], 1)
def test_both_ways_give_the_same_request_row_and_receipts(
    options: dict[str, Any], batches: list[list[Any]], new: int
) -> None:
    exports = exports_of(options)
    value: bytes | None = None
    position, now = 0, STARTED + 50
    for changes in batches:
        timed = []
        for audience, rank, step, user in changes:
            now += abs(step)
            timed.append((audience, rank, now if step > 0 else now + 2 * step, user))
        value = _compare(exports, value, _events(timed, position), new)
        position += len(changes)


@settings(max_examples=400, deadline=None)
@given(_jobs, _jobs, _batches, st.sampled_from([STARTED, 0, 10**6]))
@example({}, {"existing_users": True}, [[("vip", ENTER, 1, {"city": "Ghent"})]], 10**6)
def test_who_is_found_by_a_backfill_is_planned_in_the_same_way(
    before: dict[str, Any], after: dict[str, Any], batches: list[list[Any]], started: int
) -> None:
    """`started`: of the job whose backfill it is; the row is one that the job before has left behind, or no job."""
    value: bytes | None = None
    position, now = 0, STARTED + 50
    for changes in batches:
        timed = []
        for audience, rank, step, user in changes:
            now += abs(step)
            timed.append((audience, rank, now, user))
        value = _compare(exports_of(before), value, _events(timed, position), 1)
        position += len(changes)
    if value is not None:
        at = datetime.fromtimestamp(started / 1000, UTC)
        _compare_scanned(exports_of({**after, "started_at": at}), value)


def test_who_came_before_the_job_is_of_the_common_kind() -> None:
    row = MembershipRow()
    reset_positions(row, SOURCE)
    for event in _events([("vip", ENTER, 1_001, {"city": "Ghent"}), ("eu", ENTER, 1_002, {"name": "l"})], 0):
        fold(row, event)
    row.fields["l"] = ({"l": {LIST: [1]}}, 5)
    row.due = False
    assert _compare_scanned(exports_of({"existing_users": True, "started_at": datetime.now(UTC)}), encode(row))
    assert not _compare_scanned(exports_of({"existing_users": False, "started_at": datetime.now(UTC)}), encode(row))


def test_the_usual_changes_are_of_the_common_kind() -> None:
    exports = exports_of({"audiences": ["vip", "eu"]})
    first = _events([("vip", ENTER, 1_001, {"city": "Ghent", "age": 3, "name": "Ann"})], 0)
    second = _events([("eu", ENTER, 1_010, {"city": "Oslo"})], 1)
    third = _events([("eu", EXIT, 1_020, {})], 2)
    value: bytes | None = None
    for events in (first, second, third):
        _, planned = _careful(exports, value, events)
        person = plan_of(exports, frozenset(kinds_of(planned[4]))).person(EMAIL.encode(), events, value, SOURCE)
        assert isinstance(person, FlatImport)
        value = person.value
