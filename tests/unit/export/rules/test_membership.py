"""What an event does to a row, row by row: what is known, what comes -> what is known then, and which receipts."""

from typing import Any

import pytest

from schemas.audience_delivery import Outcome
from streams.export.rules.immediate import immediate_receipts
from streams.export.rules.membership import MAX_AUDIENCES, MAX_FIELDS, RowTooLargeError, fold
from streams.export.rules.outstanding import record_outstanding
from streams.export.rules.row import (
    ENTER,
    EXIT,
    NEVER,
    SNAPSHOT_IN,
    SNAPSHOT_OUT,
    AudienceEntry,
    DeliveredPart,
    MembershipRow,
    PendingChange,
)
from tests.unit.export.rules.rows import LIST, entry, event, exports, held, job, row


@pytest.mark.parametrize(
    ("known", "change", "what", "in_force"),
    [
        # an audience that the row does not know
        (None, (ENTER, 3_000), "changed", (ENTER, 3_000)),
        (None, (EXIT, 3_000), "changed", (EXIT, 3_000)),
        # the later event time wins, whatever the order of arrival
        ((ENTER, 2_000), (EXIT, 3_000), "changed", (EXIT, 3_000)),
        ((EXIT, 2_000), (ENTER, 3_000), "changed", (ENTER, 3_000)),
        ((ENTER, 2_000), (ENTER, 3_000), "changed", (ENTER, 3_000)),
        ((ENTER, 4_000), (EXIT, 3_000), "stale", (ENTER, 4_000)),
        ((EXIT, 4_000), (ENTER, 3_000), "stale", (EXIT, 4_000)),
        # exactly what is known
        ((ENTER, 3_000), (ENTER, 3_000), "repeated", (ENTER, 3_000)),
        ((EXIT, 3_000), (EXIT, 3_000), "repeated", (EXIT, 3_000)),
        # at the same instant the later record is in force, and a change beats a snapshot
        ((ENTER, 3_000), (EXIT, 3_000), "changed", (EXIT, 3_000)),
        ((EXIT, 3_000), (ENTER, 3_000), "changed", (ENTER, 3_000)),
        ((SNAPSHOT_IN, 3_000), (ENTER, 3_000), "changed", (ENTER, 3_000)),
        ((SNAPSHOT_OUT, 3_000), (ENTER, 3_000), "changed", (ENTER, 3_000)),
        ((SNAPSHOT_IN, 3_000), (EXIT, 3_000), "changed", (EXIT, 3_000)),
        # a change is always a change, also one that only confirms a snapshot
        ((SNAPSHOT_IN, 2_000), (ENTER, 3_000), "changed", (ENTER, 3_000)),
    ],
)
def test_one_change(
    known: tuple[int, int] | None, change: tuple[int, int], what: str, in_force: tuple[int, int]
) -> None:
    person = row({} if known is None else {"vip": entry(*known)})
    result = fold(person, event(("vip", *change)))
    vip = person.audiences["vip"]
    assert (vip.rank, vip.at) == in_force
    assert getattr(result, what) == ["vip"]
    assert [name for name in ("changed", "stale", "repeated") if getattr(result, name)] == [what]
    assert bool(result.superseded) == (known is not None and what == "changed")


@pytest.mark.parametrize(
    ("known", "snapshot", "what", "in_force"),
    [
        (None, {"vip"}, {"changed": ["vip"]}, (SNAPSHOT_IN, 3_000, 9)),
        ((ENTER, 2_000), {"vip"}, {"repeated": ["vip"]}, (SNAPSHOT_IN, 3_000, 5)),
        ((EXIT, 2_000), {"vip"}, {"changed": ["vip"]}, (SNAPSHOT_IN, 3_000, 9)),
        ((ENTER, 2_000), set(), {"changed": ["vip"]}, (SNAPSHOT_OUT, 3_000, 9)),
        # left before, and not in the snapshot: nothing new, no receipt
        ((EXIT, 2_000), set(), {}, (SNAPSHOT_OUT, 3_000, 5)),
        # something newer is known: that it is missing from the snapshot has no receipt either
        ((ENTER, 4_000), {"vip"}, {"stale": ["vip"]}, (ENTER, 4_000, 5)),
        ((ENTER, 4_000), set(), {}, (ENTER, 4_000, 5)),
        ((EXIT, 4_000), {"vip"}, {"stale": ["vip"]}, (EXIT, 4_000, 5)),
        # the same snapshot again
        ((SNAPSHOT_IN, 3_000), {"vip"}, {"repeated": ["vip"]}, (SNAPSHOT_IN, 3_000, 5)),
        # another one of the same instant: the later record is in force
        ((SNAPSHOT_OUT, 3_000), {"vip"}, {"changed": ["vip"]}, (SNAPSHOT_IN, 3_000, 9)),
        ((SNAPSHOT_IN, 3_000), set(), {"changed": ["vip"]}, (SNAPSHOT_OUT, 3_000, 9)),
    ],
)
def test_a_snapshot(
    known: tuple[int, int] | None, snapshot: set[str], what: dict[str, list[str]], in_force: tuple[int, int, int]
) -> None:
    person = row({} if known is None else {"vip": entry(*known)})
    result = fold(person, event(snapshot=snapshot))
    vip = person.audiences["vip"]
    assert (vip.rank, vip.at, vip.position) == in_force
    found = {name: getattr(result, name) for name in ("changed", "stale", "repeated")}
    assert found == {"changed": [], "stale": [], "repeated": [], **what}
    assert person.snapshot_at == 3_000


def test_a_first_snapshot_does_not_say_when_its_audiences_were_entered() -> None:
    person = row({"eu": entry(ENTER, 2_000)})
    fold(person, event(snapshot={"eu", "vip"}, at=3_000))
    assert {name: kept.since for name, kept in person.audiences.items()} == {"eu": 2_000, "vip": NEVER}
    fold(person, event(snapshot={"eu", "vip", "new"}, at=4_000))
    assert (person.audiences["vip"].since, person.audiences["new"].since) == (NEVER, 4_000)
    fold(person, event(snapshot={"eu"}, at=5_000))
    assert person.audiences["vip"].since == 5_000


def test_an_audience_that_a_snapshot_did_not_name_counts_as_left_then() -> None:
    person = row(snapshot_at=3_000)
    assert fold(person, event(("vip", ENTER, 2_999))).stale == ["vip"]
    assert fold(person, event(("vip", ENTER, 3_000))).changed == ["vip"]


@pytest.mark.parametrize(
    ("known", "value", "at", "kept", "changed"),
    [
        (None, "a", 3_000, ("a", 3_000), True),
        (None, None, 3_000, (None, 3_000), True),
        (("a", 2_000), "b", 3_000, ("b", 3_000), True),
        (("a", 2_000), "a", 3_000, ("a", 3_000), False),
        (("a", 4_000), "b", 3_000, ("a", 4_000), False),
        (("a", 2_000), None, 3_000, (None, 3_000), True),
        # at the same instant the greater by its JSON text; clearing is the smallest
        (("a", 3_000), "b", 3_000, ("b", 3_000), True),
        (("b", 3_000), "a", 3_000, ("b", 3_000), False),
        (("a", 3_000), None, 3_000, ("a", 3_000), False),
        ((None, 3_000), "a", 3_000, ("a", 3_000), True),
        # 1 and true are equal in Python, and not the same value
        ((1, 2_000), True, 3_000, (True, 3_000), True),
    ],
)
def test_a_field(known: Any, value: Any, at: int, kept: Any, changed: bool) -> None:
    person = row(fields={} if known is None else {"city": known})
    result = fold(person, event(at=at, city=value))
    assert person.fields["city"] == kept
    assert type(person.fields["city"][0]) is type(kept[0])
    assert result.fields is changed


def test_a_row_has_bounds_and_stays_as_it_was() -> None:
    full = row({f"a{number}": entry() for number in range(MAX_AUDIENCES)}, fields={})
    with pytest.raises(RowTooLargeError, match="audiences"):
        fold(full, event(("one-more", ENTER, 3_000), city="Ghent"))
    assert "one-more" not in full.audiences
    assert full.fields == {}
    assert fold(full, event(("a0", EXIT, 3_000))).changed == ["a0"]
    wide = row(fields={f"f{number}": (1, 1) for number in range(MAX_FIELDS)})
    with pytest.raises(RowTooLargeError, match="fields"):
        fold(wide, event(one_more=1))


# -- receipts that need no call: known entry, event -> (job, position, outcome)

SUPERSEDED, UNCHANGED = Outcome.SUPERSEDED, Outcome.UNCHANGED
JOB = job()
EXISTING = job(existing_users=True)


@pytest.mark.parametrize(
    ("known", "change", "of_job", "receipts", "due"),
    [
        # a new change has its receipt when it was delivered
        (None, (ENTER, 3_000), JOB, [], True),
        # it replaces one that was never sent
        (entry(ENTER, 2_000, 5), (EXIT, 3_000), JOB, [(5, SUPERSEDED)], True),
        # too late, or nothing new
        (entry(ENTER, 4_000, 5), (EXIT, 3_000), JOB, [(9, SUPERSEDED)], False),
        (entry(ENTER, 3_000, 5), (ENTER, 3_000), JOB, [(9, UNCHANGED)], False),
        # before the job began, only enters count, and only with existing users
        (entry(ENTER, 900, 5), (EXIT, 3_000), JOB, [], True),
        (entry(ENTER, 900, 5), (EXIT, 3_000), EXISTING, [(5, SUPERSEDED)], True),
        (entry(EXIT, 900, 5), (ENTER, 3_000), EXISTING, [], True),
        # a transferred change has no position here, so no receipt
        (entry(ENTER, 2_000, -1), (EXIT, 3_000), JOB, [], True),
        # nobody exports the audience
        (entry(ENTER, 2_000, 5), (EXIT, 3_000), job(audiences=["eu"]), [], False),
        # a stopped job's receipts are given, too
        (entry(ENTER, 2_000, 5), (EXIT, 3_000), job(state="stopped"), [(5, SUPERSEDED)], True),
    ],
)
def test_receipts_that_an_event_determines(
    known: AudienceEntry | None, change: tuple[int, int], of_job: Any, receipts: list[Any], due: bool
) -> None:
    person = row({} if known is None else {"vip": known})
    happened = event(("vip", *change), at=change[1])
    found = immediate_receipts(person, happened, fold(person, happened), exports(of_job), lambda _list: False)
    assert [(receipt.position, receipt.outcome) for receipt in found] == receipts
    assert person.due is due
    assert (LIST in person.lists) is due


def test_a_change_in_a_request_waits_for_the_answer() -> None:
    person = row({"vip": entry(ENTER, 2_000, 5)})
    exit_ = event(("vip", EXIT, 3_000))
    assert immediate_receipts(person, exit_, fold(person, exit_), exports(), lambda _list: True) == []
    assert person.pending == [PendingChange(LIST, "vip", ENTER, 5, 2_000, 2_000)]


@pytest.mark.parametrize("part", [DeliveredPart("", 5), DeliveredPart("", 2, (5,))])
def test_a_change_that_has_its_receipt_gets_no_second(part: DeliveredPart) -> None:
    person = row({"vip": entry(ENTER, 2_000, 5)}, lists={LIST: held(delivered={"job-1": part})})
    exit_ = event(("vip", EXIT, 3_000))
    assert immediate_receipts(person, exit_, fold(person, exit_), exports(), lambda _list: False) == []


def test_a_receipt_from_a_lost_attempt_is_not_given_again() -> None:
    person = row({"vip": entry(ENTER, 2_000, 5)})
    exit_ = event(("vip", EXIT, 3_000))
    sent = {("job-1", 5), ("job-1", 9)}
    result = fold(person, exit_)
    found = immediate_receipts(person, exit_, result, exports(), lambda _list: False, lambda *key: key in sent)
    assert found == []
    assert person.lists[LIST].delivered["job-1"].also == (9,)


def test_what_has_its_receipt_from_a_lost_attempt_is_not_outstanding() -> None:
    """The next owner knows of it while it reads receipts from there on; whoever comes after it gave a second one."""
    person = row({"vip": entry(ENTER, 2_000, 5)}, outstanding=[("job-1", LIST, 5, 2_000)])
    exit_ = event(("vip", EXIT, 3_000))
    record_outstanding(person, exit_, fold(person, exit_), exports(), [], lambda *key: key == ("job-1", 5))
    assert person.outstanding == [("job-1", LIST, 9, exit_.appended)]


def test_a_snapshot_has_one_receipt_while_some_of_it_is_in_force() -> None:
    person: MembershipRow = row(snapshot_at=NEVER)
    both = event(snapshot={"vip", "eu"}, at=2_000, position=5)
    assert immediate_receipts(person, both, fold(person, both), exports(EXISTING), lambda _list: False) == []
    for audience, position, receipts in (("vip", 6, []), ("eu", 7, [(5, SUPERSEDED)])):
        exit_ = event((audience, EXIT, 3_000), position=position)
        found = immediate_receipts(person, exit_, fold(person, exit_), exports(EXISTING), lambda _list: False)
        assert [(receipt.position, receipt.outcome) for receipt in found] == receipts


@pytest.mark.parametrize(
    ("rank", "city", "due"), [(ENTER, "Ghent", True), (EXIT, "Ghent", False), (ENTER, None, False)]
)
def test_a_changed_field_makes_due_whoever_is_exported(rank: int, city: str | None, due: bool) -> None:
    person = row({"vip": entry(rank)})
    change = event(**({} if city is None else {"city": city}))
    assert immediate_receipts(person, change, fold(person, change), exports(), lambda _list: False) == []
    assert person.due is due
