"""Reading messages: the quick check agrees with the contract, and what is refused is refused for the right reason."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.cm_activity import CmActivity
from schemas.cm_user import CmUser
from schemas.dead_letter import Stage
from streams.batches import MOVED_FROM, StoredRecord
from streams.mapping.catalog import read_catalog
from streams.profile.folding.events import Reader, UnusableRecord
from tests.unit.profile.in_memory_owners import ARRIVED, CATALOG

DAY = 86_400_000
READERS = {name: Reader(stream, DAY) for name, stream in CATALOG.streams.items()}
CONTRACTS = {"cm_activity": CmActivity, "cm_user": CmUser}
GOOD = {
    "cm_activity": {
        "schema_version": 1,
        "event_id": "x" * 32,
        "at": "2025-01-01T00:00:00.000Z",
        "event": "open",
        "email": "a@x.com",
        "source": "campaign",
        "echo": False,
        "latitude": 1.5,
        "custom_fields": [{"key": "k", "value": "v"}],
        "campaign_id": "k1",
    },
    "cm_user": {
        "at": "2025-01-01T00:00:00Z",
        "email": "a@x.com",
        "status": "Active",
        "client_id": "c1",
        "custom_fields": [{"key": "k", "value": "v"}],
    },
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["campaign", "webhook", "2025-01-01T00:00:00Z", "2025-01-01 00:00", "x" * 129]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["key", "value"]), inner, max_size=2),
    max_leaves=4,
)


def record(message, timestamp=ARRIVED, headers=()):
    value = message if isinstance(message, bytes) else json.dumps(message).encode()
    return StoredRecord(7, b"a@x.com", value, timestamp, headers)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_the_quick_check_agrees_with_the_contract(data):
    stream = data.draw(st.sampled_from(sorted(GOOD)))
    message = dict(GOOD[stream])
    for name in data.draw(st.lists(st.sampled_from([*CONTRACTS[stream].model_fields, "unknown"]), max_size=3)):
        if data.draw(st.booleans()):
            message[name] = data.draw(JSON)
        else:
            message.pop(name, None)
    try:
        contract = CONTRACTS[stream].from_bytes(json.dumps(message).encode())
    except ValidationError:
        with pytest.raises(UnusableRecord) as refused:
            READERS[stream].read(record(message))
        assert refused.value.stage in (Stage.SCHEMA, Stage.IDENTITY)
        return
    try:
        key, event = READERS[stream].read(record(message))
    except UnusableRecord as refused:
        assert refused.stage == Stage.IDENTITY  # noqa: PT017 - the other outcome is as good
        return
    assert key == b"a@x.com"
    assert event.ms == int(contract.at.timestamp() * 1000)
    assert event.event_id == contract.event_id


@pytest.mark.parametrize(
    ("message", "stage", "reason"),
    [
        (b"", Stage.DECODE, "not JSON"),
        (b"\xff", Stage.DECODE, "not JSON"),
        (b'{"a": NaN}', Stage.DECODE, "not JSON"),
        (b"[" * 10_000, Stage.DECODE, "not JSON"),
        (b"5", Stage.SCHEMA, "no JSON object"),
        (GOOD["cm_activity"] | {"email": None}, Stage.SCHEMA, "email: "),
        (GOOD["cm_activity"] | {"email": "a@x.com, b@x.com"}, Stage.IDENTITY, "it is not one address"),
        (GOOD["cm_activity"] | {"at": "13 o'clock"}, Stage.SCHEMA, "at: "),
        ({"email": "a@x.com"}, Stage.SCHEMA, "event: "),
    ],
)
def test_refusals(message, stage, reason):
    with pytest.raises(UnusableRecord) as refused:
        READERS["cm_activity"].read(record(message))
    assert (refused.value.stage, reason in refused.value.reason) == (stage, True)


def test_a_refusal_does_not_repeat_what_was_in_the_message():
    with pytest.raises(UnusableRecord) as refused:
        READERS["cm_activity"].read(record(GOOD["cm_activity"] | {"latitude": "secret"}))
    assert "secret" not in refused.value.reason


ADDED = read_catalog([("s.lql", "SELECT count(x) AS xs FROM s INTO user BY email(who.mail)")]).streams["s"]


@pytest.mark.parametrize(
    ("at", "ms"),
    [
        ("2025-01-01T00:00:00Z", 1_735_689_600_000),
        ("1735689600", 1_735_689_600_000),
        (1735689600, 1_735_689_600_000),
        ("25 Oct 2010", 1_287_964_800_000),
        ("home", ARRIVED),
        (None, ARRIVED),
        (True, ARRIVED),
        ("2099-01-01T00:00:00Z", ARRIVED),
    ],
)
def test_the_time_of_an_added_stream_s_message(at, ms):
    key, event = Reader(ADDED, DAY).read(record({"who": {"mail": "Ann <A@x.com>"}, "at": at}))
    assert (key, event.ms) == (b"a@x.com", ms)


def test_a_record_that_was_moved_is_known_by_where_it_stood():
    headers = [(MOVED_FROM, b"t/0/5")]
    assert Reader(ADDED, DAY).read(record({"who": {"mail": "a@x.com"}}, headers=headers))[1].event_id == "t/0/5"
