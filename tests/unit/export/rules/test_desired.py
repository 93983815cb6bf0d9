"""What a list should hold for a person, row by row: the row, the jobs' options -> the desired subscriber."""

from typing import Any

import pytest

from schemas.audience_delivery import Refusal
from streams.export.rules.desired import (
    DesiredSubscriber,
    DesiredValue,
    Membership,
    desired_subscriber,
    membership_of,
)
from streams.export.rules.row import (
    ENTER,
    EXIT,
    NEVER,
    SNAPSHOT_IN,
    AudienceEntry,
    DeliveredPart,
    Held,
    MembershipRow,
)
from tests.unit.export.rules.rows import EMAIL, LIST, entry, exports, held, job, listed, row

IN, OUT = entry(ENTER), entry(EXIT)
IN_BEFORE, OUT_BEFORE = entry(ENTER, at=900), entry(EXIT, at=900)
CITY = [{"user_field": "city", "custom_field": "City"}]
POINTS = [{"user_field": "points", "custom_field": "Points", "data_type": "Number"}]


def want(person: MembershipRow, *jobs: Any, on_list: Held | None = None) -> DesiredSubscriber | None:
    return desired_subscriber(person, EMAIL, listed(*jobs), on_list, str.upper)


@pytest.mark.parametrize(
    ("audiences", "options", "membership", "inside"),
    [
        ({}, {}, Membership.UNCONCERNED, ()),
        ({"vip": IN}, {}, Membership.PRESENT, ("vip",)),
        ({"vip": IN, "eu": IN}, {}, Membership.PRESENT, ("eu", "vip")),
        ({"vip": entry(SNAPSHOT_IN)}, {}, Membership.PRESENT, ("vip",)),
        ({"vip": OUT}, {}, Membership.ABSENT, ()),
        ({"vip": IN, "eu": OUT}, {}, Membership.PRESENT, ("vip",)),
        # only the job's audiences
        ({"vip": IN}, {"audiences": ["eu"]}, Membership.UNCONCERNED, ()),
        ({"vip": IN, "eu": IN}, {"audiences": ["eu"]}, Membership.PRESENT, ("eu",)),
        ({"vip": IN, "eu": OUT}, {"audiences": ["eu"]}, Membership.ABSENT, ()),
        # before the job began: from the first change on, or with existing users
        ({"vip": IN_BEFORE}, {}, Membership.UNCONCERNED, ()),
        ({"vip": IN_BEFORE}, {"existing_users": True}, Membership.PRESENT, ("vip",)),
        ({"vip": IN_BEFORE, "eu": IN}, {}, Membership.PRESENT, ("eu", "vip")),
        ({"vip": IN_BEFORE, "eu": OUT}, {}, Membership.PRESENT, ("vip",)),
        ({"vip": OUT_BEFORE}, {"existing_users": True}, Membership.UNCONCERNED, ()),
        ({"vip": entry(ENTER, at=1_000)}, {}, Membership.PRESENT, ("vip",)),
    ],
)
def test_whether_a_job_exports_a_person(
    audiences: dict[str, AudienceEntry], options: dict[str, Any], membership: Membership, inside: tuple[str, ...]
) -> None:
    (view,) = exports(job(**options)).lists[LIST].jobs
    assert membership_of(row(audiences), view) == (membership, inside)


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        # address
        ({}, {}, {"address": EMAIL, "refused": None}),
        ({"email": "Other@Example.com"}, {}, {"address": "other@example.com"}),
        ({"email": None}, {}, {"address": EMAIL}),
        ({"work": "ann@work.example"}, {"email_field": "work"}, {"address": "ann@work.example"}),
        ({"work": ["ann@work.example", "x"]}, {"email_field": "work"}, {"address": "ann@work.example"}),
        ({}, {"email_field": "work"}, {"address": None, "refused": Refusal.NO_ADDRESS}),
        ({"work": ""}, {"email_field": "work"}, {"address": None, "refused": Refusal.NO_ADDRESS}),
        ({"work": []}, {"email_field": "work"}, {"address": None, "refused": Refusal.NO_ADDRESS}),
        ({"work": "nonsense"}, {"email_field": "work"}, {"address": None, "refused": Refusal.INVALID}),
        ({"work": 7}, {"email_field": "work"}, {"address": None, "refused": Refusal.INVALID}),
        # name: cleared, never sent, not a text
        ({"name": "Ann"}, {}, {"name": "Ann"}),
        ({"name": None}, {}, {"name": ""}),
        ({}, {}, {"name": None}),
        ({"name": 7}, {}, {"name": "7"}),
        ({"full": "Ann B"}, {"name_field": "full"}, {"name": "Ann B"}),
        # options of the audiences field, by name
        ({}, {}, {"audiences": ("vip",), "options": (("Lytics Audiences", ("VIP",)),)}),
        ({}, {"custom_field_name": "In"}, {"options": (("In", ("VIP",)),)}),
        # values: written, cleared, never sent, left out
        ({"city": "Ghent"}, {"field_mappings": CITY}, {"values": (DesiredValue("City", "Text", ("Ghent",)),)}),
        ({"city": None}, {"field_mappings": CITY}, {"values": (DesiredValue("City", "Text", ()),)}),
        ({}, {"field_mappings": CITY}, {"values": (), "notes": ()}),
        (
            {"points": "many"},
            {"field_mappings": POINTS},
            {"values": (), "notes": ("points was left out: not a number",)},
        ),
        # flags
        ({}, {"consent_to_track": "Yes"}, {"consent": "Yes"}),
        ({}, {"resubscribe_users": True}, {"resubscribe": True, "consent_rules": False}),
        ({}, {"queue_autoresponders": True}, {"queue": True, "restart": False}),
        ({}, {"restart_autoresponders": True}, {"restart": True}),
        ({}, {"update_only": True}, {"may_add": False}),
        (
            {"at": 2_000_000},
            {"consent_rule": {"user_field": "at"}},
            {"consent_rules": True, "consented": 2_000_000_000},
        ),
        ({}, {"consent_rule": {"user_field": "at"}}, {"consent_rules": True, "consented": None}),
    ],
)
def test_what_one_job_exports(fields: dict[str, Any], options: dict[str, Any], expected: dict[str, Any]) -> None:
    found = want(row({"vip": IN}, fields={name: (value, 1) for name, value in fields.items()}), job(**options))
    assert found is not None
    assert found.present
    assert {name: getattr(found, name) for name in expected} == expected


VIP = {"audiences": ["vip"]}
EU = {"audiences": ["eu"]}


def _has_left(audience: AudienceEntry) -> bool:
    return not audience.inside


@pytest.mark.parametrize(
    ("audiences", "first", "second", "expected"),
    [
        # the union of both; address and consent of the older job
        ({"vip": IN, "eu": IN}, VIP, EU, {"options": (("Lytics Audiences", ("EU", "VIP")),)}),
        ({"vip": IN, "eu": IN}, {**VIP, "consent_to_track": "No"}, EU, {"consent": "No"}),
        ({"vip": IN, "eu": IN}, {**VIP, "email_field": "work"}, EU, {"refused": Refusal.NO_ADDRESS}),
        ({"vip": OUT, "eu": IN}, {**VIP, "email_field": "work"}, EU, {"address": EMAIL, "audiences": ("eu",)}),
        # resubscribing only when every job allows it, mails when one does, adding unless none does
        ({"vip": IN, "eu": IN}, {**VIP, "resubscribe_users": True}, EU, {"resubscribe": False}),
        ({"vip": OUT, "eu": IN}, VIP, {**EU, "resubscribe_users": True}, {"resubscribe": True}),
        ({"vip": IN, "eu": IN}, {**VIP, "queue_autoresponders": True}, EU, {"queue": True}),
        ({"vip": IN, "eu": IN}, {**VIP, "update_only": True}, EU, {"may_add": True}),
        # who left one of them stays for the other
        ({"vip": OUT, "eu": IN}, {**VIP, "on_last_exit": "delete"}, EU, {"present": True, "audiences": ("eu",)}),
        # who left both: keep beats unsubscribe beats delete
        ({"vip": OUT, "eu": OUT}, {**VIP, "on_last_exit": "delete"}, EU, {"present": False, "on_exit": "keep"}),
        (
            {"vip": OUT, "eu": OUT}, {**VIP, "on_last_exit": "delete"}, {**EU, "on_last_exit": "unsubscribe"},
            {"on_exit": "unsubscribe", "audiences": (), "options": (("Lytics Audiences", ()),)},
        ),
        ({"vip": OUT}, {**VIP, "on_last_exit": "delete"}, EU, {"present": False, "on_exit": "delete"}),
        # a stopped job keeps its place in the field, and the person on the list, but sends nothing
        ({"vip": IN, "eu": IN}, VIP, {**EU, "state": "stopped"}, {"audiences": ("eu", "vip"), "jobs": {"job-1"}}),
        (
            {"vip": OUT, "eu": IN}, {**VIP, "on_last_exit": "delete"}, {**EU, "state": "stopped"},
            {"present": False, "on_exit": "keep", "audiences": ("eu",), "jobs": {"job-1"}},
        ),
        # no running job concerns the person
        ({"eu": IN}, VIP, {**EU, "state": "stopped"}, None),
        ({"other": IN}, VIP, EU, None),
    ],
)  # fmt: skip
def test_two_jobs_share_a_list(
    audiences: dict[str, AudienceEntry], first: dict[str, Any], second: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    exporters = ["job-1", "job-2"] if len(audiences) > 1 else ["job-1"]
    known = held(delivered={name: DeliveredPart("", 5, exported=True) for name in exporters})
    jobs_of_list = job("job-1", created=1, **first), job("job-2", created=2, **second)
    found = want(row(audiences), *jobs_of_list, on_list=known if any(map(_has_left, audiences.values())) else None)
    if expected is None:
        assert found is None
        return
    assert found is not None
    jobs = expected.get("jobs")
    values = {name: value for name, value in expected.items() if name != "jobs"}
    assert {name: getattr(found, name) for name in values} == values
    assert jobs is None or found.digests.keys() == jobs


@pytest.mark.parametrize(
    ("on_list", "resubscribes"),
    [
        (None, True),
        # only for an entry that is later than the last one that was used
        (held(used_entry=1_999), True),
        (held(used_entry=2_000), False),
        (held(code=206), True),
        (held(code=206, used_entry=2_000), False),
    ],
)
def test_resubscribing_is_for_new_entries(on_list: Held | None, resubscribes: bool) -> None:
    found = want(row({"vip": IN}), job(resubscribe_users=True), on_list=on_list)
    assert found is not None
    assert found.resubscribe is resubscribes


MINUTE = 60_000


@pytest.mark.parametrize(
    ("audience", "left", "entered"),
    [
        (AudienceEntry(ENTER, 2_000, 5, 9_000, 2_000, 2_000), None, 2_000),
        # a snapshot that confirms is none of its own, and one that nothing is known before is none
        (AudienceEntry(SNAPSHOT_IN, 8_000, 5, 9_000, 2_000, 2_000), None, 2_000),
        (AudienceEntry(SNAPSHOT_IN, 8_000, 5, 9_000, 8_000, NEVER), None, 0),
        # nobody entered after the event was appended
        (AudienceEntry(ENTER, 8_000, 5, 2_000, 8_000, 8_000), None, 2_000),
        # later than the person's own act, in the next minute where the act has a whole one, else in the next second
        (entry(at=5 * MINUTE), 4 * MINUTE, 5 * MINUTE),
        (entry(at=5 * MINUTE - 1), 4 * MINUTE, 0),
        (entry(at=5 * MINUTE), 4 * MINUTE + 59_000, 5 * MINUTE),
        (entry(at=5 * MINUTE), 5 * MINUTE - 1, 0),
        (entry(at=5 * MINUTE), 6 * MINUTE, 0),
        (entry(EXIT), None, 0),
    ],
)
def test_the_newest_entry(audience: AudienceEntry, left: int | None, entered: int) -> None:
    person = row({"vip": audience, "eu": IN}, own_acts={} if left is None else {LIST: left})
    found = want(person, job(resubscribe_users=True, existing_users=True, audiences=["vip", "new"]))
    assert (0 if found is None else found.entered, found is not None and found.resubscribe) == (entered, entered > 0)


@pytest.mark.parametrize(
    ("on_list", "concerned"),
    [
        (None, False),
        # exported before, by a job that was changed since
        (held(), True),
        # a request may have been made
        (held(delivered={"job-1": DeliveredPart("", -1, exported=True)}), True),
        # only another job wrote, or it had nothing but receipts
        (held(delivered={}), False),
        (held(delivered={"job-2": DeliveredPart("digest", 5, exported=True)}), False),
        (held(delivered={"job-1": DeliveredPart("left:keep", 5)}), False),
    ],
)
def test_who_was_exported_before_the_job_changed_has_left(on_list: Held | None, concerned: bool) -> None:
    found = want(row({"vip": IN}), job(audiences=["eu"]), on_list=on_list)
    assert (found is not None) is concerned
    assert found is None or (found.present, found.digests) == (False, {"job-1": "left:keep"})


@pytest.mark.parametrize(
    ("audience", "on_list", "present"),
    [
        (entry(at=900), held(), True),
        (entry(at=900), None, None),
        (entry(at=900), held(delivered={}), None),
        (entry(EXIT, at=1_100), held(), False),
    ],
)
def test_who_came_as_an_existing_user_stays_when_the_option_is_turned_off(
    audience: AudienceEntry, on_list: Held | None, present: bool | None
) -> None:
    found = want(row({"vip": audience}), job(on_last_exit="delete", existing_users=False), on_list=on_list)
    assert (None if found is None else found.present) is present


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ({}, {}, False),
        ({}, {"segment_name": "In {audience}"}, False),
        ({}, {"on_last_exit": "delete"}, False),
        ({}, {"consent_to_track": "Yes"}, True),
        ({}, {"custom_field_name": "In"}, True),
        ({}, {"field_mappings": CITY}, True),
        ({}, {"email_field": "work"}, True),
        ({"field_mappings": POINTS}, {"field_mappings": [{**POINTS[0], "data_type": "Text"}]}, True),
    ],
)
def test_a_digest_changes_with_what_is_written(before: dict[str, Any], after: dict[str, Any], differs: bool) -> None:
    person = row({"vip": IN}, fields={"city": ("Ghent", 1), "points": (4, 1)})
    old, new = want(person, job(**before)), want(person, job(**after))
    assert old is not None
    assert new is not None
    assert (old.digests != new.digests) is differs
