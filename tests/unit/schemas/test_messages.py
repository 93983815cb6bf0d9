"""The contracts: strict where it matters, tolerant of what they do not know."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.audience_membership import AudienceChange, AudienceMembership, AudienceSnapshot
from schemas.cm_activity import CmActivity
from schemas.control import AnyJob, ExportJob, ImportJob
from schemas.envelope import rfc3339
from schemas.topics import TOPICS, TopicNames

CHANGE = b'{"email":"a@b.c","change":"enter","audience":{"id":"1","name":"VIP"},"at":"2024-01-01T00:00:00+02:00"}'


def test_a_change_is_read_and_its_instant_is_utc():
    change = AudienceMembership.from_bytes(CHANGE).root
    assert isinstance(change, AudienceChange)
    assert change.at == datetime(2023, 12, 31, 22, tzinfo=UTC)


def test_a_snapshot_is_told_apart_by_its_change():
    snapshot = AudienceMembership.from_bytes(
        b'{"email":"a@b.c","change":"snapshot","audiences":[],"at":"2024-01-01T00:00:00Z"}'
    ).root
    assert isinstance(snapshot, AudienceSnapshot)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{not json",
        b"[]",
        b"null",
        CHANGE.replace(b"enter", b"sideways"),
        CHANGE.replace(b'"2024-01-01T00:00:00+02:00"', b"7"),
        CHANGE.replace(b'"VIP"', b'""'),
        CHANGE.replace(b'"a@b.c"', b"5"),
        CHANGE.replace(b'"1"', b"1"),
    ],
)
def test_what_breaks_the_contract_is_refused(value):
    with pytest.raises(ValidationError):
        AudienceMembership.from_bytes(value)


def test_unknown_fields_are_no_error():
    assert AudienceMembership.from_bytes(CHANGE[:-1] + b',"tomorrow":{"x":1}}').root.email == "a@b.c"


def test_null_in_the_persons_fields_survives_the_way_there_and_back():
    change = AudienceMembership.from_bytes(CHANGE[:-1] + b',"user":{"city":null,"n":1.5}}')
    assert AudienceMembership.from_bytes(change.to_bytes()) == change
    assert change.root.user == {"city": None, "n": 1.5}


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_instants_are_cut_to_milliseconds_and_come_back(instant):
    activity = CmActivity(event="open", email="a@b.c", source="campaign", at=instant)
    back = CmActivity.from_bytes(activity.to_bytes())
    assert back.at == instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    assert rfc3339(instant).endswith("Z")


def test_jobs_are_told_apart_by_kind():
    common = {"id": "j", "authorization_id": "a", "client_id": "c"}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    export = ExportJob(**common, list_id="l", created_at=now, updated_at=now, started_at=now)
    import_ = ImportJob(**common, created_at=now, updated_at=now)
    assert isinstance(AnyJob.from_bytes(export.to_bytes()).root, ExportJob)
    assert isinstance(AnyJob.from_bytes(import_.to_bytes()).root, ImportJob)
    assert export.resubscribe_users is False


def test_topic_names_take_a_prefix_and_overrides():
    names = TopicNames(prefix="test.", overrides={"cm_user": "crm.users"})
    assert names["cm_activity"] == "test.cm_activity"
    assert names["cm_user"] == "crm.users"
    assert names.dead_letters(names["cm_user"]) == "crm.users.dlq"
    with pytest.raises(ValueError, match="cm_users"):
        TopicNames(overrides={"cm_users": "x"})
    with pytest.raises(KeyError):
        names["nonsense"]


def test_every_topic_has_dead_letters_or_says_why_not():
    inputs = [topic for topic in TOPICS.values() if not topic.role.endswith(".dlq")]
    for topic in inputs:
        assert topic.dead_letters == (topic.role + ".dlq" in TOPICS)
        assert topic.dead_letters == (not topic.without_dead_letters), topic.role
