"""Changes of address: whatever overtakes what, and wherever a crash falls, nothing is lost and nothing doubled."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import key_of
from streams.mapping.catalog import read_catalog
from streams.mapping.fields.layout import FieldsError
from streams.profile.folding.fold import ProfileTopics
from streams.profile.folding.moves import ForeignMappingError, Move, move_output, read_move
from tests.unit.profile.in_memory_owners import InMemoryOwners, activity

A, B, C = "a@x.com", "b@x.com", "c@x.com"
CRASHES = ("", "", "", "outputs", "row")


def moved(number, old, new, second=None):
    return activity(new, number, "update", second, old_email=old)


def chooser(data):
    """Any lane next, any number of its records, and a crash now and then.

    All follow from one draw: three for each step take four times as long as the steps.
    """
    random = data.draw(st.randoms(use_true_random=True))
    crashes = 0

    def choose(lanes):
        nonlocal crashes
        crash = random.choice(CRASHES) if crashes < 6 else ""
        crashes += bool(crash)
        return random.choice(lanes), random.randint(1, 3), crash

    return choose


def whole(profiles, address):
    """What the one profile must say, apart from order: counts and sets."""
    assert list(profiles) == [address]
    return profiles[address]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_change_of_address(data):
    """Before, during and after the change, in any order of topics."""
    world = InMemoryOwners()
    events = [activity(A, n, campaign_id=f"k{n}") for n in range(4)] + [
        activity(B, n, campaign_id=f"k{n}") for n in (11, 12)
    ]
    events += [moved(10, A, B), *(activity(A, n, campaign_id=f"k{n}") for n in (5, 6))]  # two come late
    for event in data.draw(st.permutations(events)):
        world.send(event)
    world.drain(chooser(data))
    for event in events:  # and everything again, as after an overlapping import
        world.send(event)
    world.drain(chooser(data))

    profile = whole(world.profiles(), B)
    assert profile["email"] == B
    assert profile["email_domain"] == "x.com"
    assert profile["cm_openct"] == 8
    assert profile["cm_email_event"] == {"open": 8, "update": 1}
    assert profile["cm_campaign_ids"] == sorted(event["campaign_id"] for event in events if "campaign_id" in event)
    assert profile["cm_hourlyopen"] == {"0": 8}
    assert profile["cm_firstopen_ts"] == "2025-01-01T00:00:00.000Z"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_chain_and_the_way_back(data):
    """a -> b -> c -> a: the person ends where the person is, with everything."""
    world = InMemoryOwners()
    events = [
        activity(A, 1, campaign_id="k1"),
        moved(10, A, B),
        activity(B, 11, campaign_id="k2"),
        moved(20, B, C),
        activity(C, 21, campaign_id="k3"),
        moved(30, C, A),
        activity(A, 31, campaign_id="k4"),
    ]
    for event in data.draw(st.permutations(events)):
        world.send(event)
    world.drain(chooser(data))

    profile = whole(world.profiles(), A)
    assert profile["email"] == A
    assert profile["cm_openct"] == 4
    assert profile["cm_email_event"] == {"open": 4, "update": 3}
    assert profile["cm_campaign_ids"] == ["k1", "k2", "k3", "k4"]


def test_an_address_can_become_somebody_elses():
    world = InMemoryOwners()
    for event in (activity(A, 1), moved(10, A, B), activity(A, 20, "click"), activity(A, 5)):
        world.send(event)
        world.drain()

    assert world.profiles()[A]["cm_email_event"] == {"click": 1}
    assert world.profiles()[B]["cm_email_event"] == {"open": 2, "update": 1}


def test_the_old_row_is_a_tombstone():
    world = InMemoryOwners()
    for event in (activity(A, 1), moved(10, A, B)):
        world.send(event)
    world.drain()
    value, state = world.rows[key_of(A)]

    assert value is None
    assert b"b@x.com" in state


def erase(world, address, second, request="r1"):
    at = 1_735_689_600_000 + second * 1000
    world.publish("moves", key_of(address), move_output("moves", Move("erase", request, address, at)).value)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_erased_person_is_gone_under_every_address(data):
    world = InMemoryOwners()
    for event in (activity(A, 1), moved(10, A, B), activity(B, 11), moved(20, B, C), activity(C, 21)):
        world.send(event)
        world.drain(chooser(data))
    erase(world, data.draw(st.sampled_from([A, B, C])), 100)
    for event in (activity(A, 2), activity(B, 12), activity(C, 22)):  # late ones do not bring the person back
        world.send(event)
    world.drain(chooser(data))

    assert world.profiles() == {}
    for key, (value, state) in world.rows.items():
        others = {A, B, C} - {key.decode()}
        assert value is None
        assert not [address for address in others if address.encode() in state]
    receipts = {output.value for output in world.outputs}
    assert len({json.loads(receipt)["request_id"] for receipt in receipts}) == 1
    assert {json.loads(receipt)["outcome"] for receipt in receipts} <= {"erased", "unknown"}
    assert b"@" not in b"".join(receipts)


def test_the_export_receives_every_address_that_is_erased():
    world = InMemoryOwners(ProfileTopics("moves", "erasures", memberships="commands"))
    for event in (activity(A, 1), moved(10, A, B), activity(B, 11), moved(20, B, C)):
        world.send(event)
        world.drain()
    erase(world, B, 100)
    world.drain()

    erasures = [output for output in world.outputs if output.topic == "commands"]
    assert {output.key.decode() for output in erasures} == {A, B, C}
    assert {output.value for output in erasures} == {b'{"do":"erase","at":1735689700000}'}


def test_whoever_comes_back_after_an_erasure_is_new():
    world = InMemoryOwners()
    world.send(activity(A, 1))
    world.drain()
    erase(world, A, 100)
    world.drain()
    world.send(activity(A, 1, second=200) | {"event_id": f"{200:032x}"})
    world.drain()

    assert world.profiles()[A]["cm_openct"] == 1


def test_erasing_nobody_gives_a_receipt_too():
    world = InMemoryOwners()
    erase(world, A, 100)
    world.drain()
    (receipt,) = world.outputs
    assert json.loads(receipt.value)["outcome"] == "unknown"


@pytest.mark.parametrize("value", [None, b"{", b"[]", b"{}", b'{"kind": "dance"}', b'{"kind": "leave"}'])
def test_what_is_no_move_is_refused(value):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is one, too
        read_move(value)


@settings(max_examples=100, deadline=None)
@given(
    st.builds(
        Move,
        st.sampled_from(["leave", "seal", "erase"]),
        st.text(min_size=1),
        st.text(min_size=1),
        st.integers(0, 2**40),
        st.text(),
    )
)
def test_moves_are_read_as_they_were_written(move):
    written = move_output("moves", move)
    assert read_move(written.value) == move


# -- moves of other mappings

RUNNING = """SELECT name AS cm_name, email(email) AS email, set(cc) AS countries, count(event) AS events
FROM cm_activity INTO user BY email(email)"""
OTHERS = [
    RUNNING.replace("cm_name", "city"),
    RUNNING.replace("set(cc) AS countries", "cc AS countries"),
    RUNNING.replace("name AS cm_name", "cc AS country, name AS cm_name"),
    RUNNING.replace("count(event) AS events", "count(event) IF event == 'open' AS events"),
]


def owners_of(text):
    return InMemoryOwners(catalog=read_catalog([("s.lql", text)]))


def published(text, *, versioned=True):
    """The `arrive` that an owner running these mappings publishes for B."""
    world = owners_of(text)
    for event in (activity(A, 1, name="Ann", cc="DE"), moved(10, A, B)):
        world.send(event)
    while not any(b'"arrive"' in record.value for queue in world.queues.values() for record in queue):
        world.step(next(lane for lane in world.waiting() if lane[0] == key_of(A) or lane[1] != "moves"))
    (value,) = (r.value for queue in world.queues.values() for r in queue if b'"arrive"' in r.value)
    return value if versioned else json.dumps({**json.loads(value), "mapping": ""}).encode()


def received(value):
    """B's profile after the move; ValueError where it is refused."""
    world = owners_of(RUNNING)
    world.send(activity(B, 11, cc="NL"))
    world.drain()
    before = dict(world.rows)
    world.publish("moves", key_of(B), value)
    try:
        world.drain()
    except ValueError:
        assert world.rows == before
        raise
    return world.profiles()[B]


WHOLE = {"cm_name": "Ann", "email": B, "countries": ["DE", "NL"], "events": 2}


def test_a_move_carries_the_version_of_the_mappings_and_is_folded_under_the_same():
    value = published(RUNNING)
    assert json.loads(value)["mapping"] == owners_of(RUNNING).fold.codec.version
    assert received(value) == WHOLE


@pytest.mark.parametrize("text", OTHERS)
def test_a_move_of_other_mappings_is_refused_with_both_versions(text):
    versions = [owners_of(mapping).fold.codec.version for mapping in (text, RUNNING)]
    with pytest.raises(ForeignMappingError, match=f"mapping version {versions[0]}; version {versions[1]} runs"):
        received(published(text))


def test_a_move_of_an_older_release_is_folded_when_all_of_it_is_of_this_layout():
    assert received(published(RUNNING, versioned=False)) == WHOLE


@pytest.mark.parametrize("text", OTHERS[:3])
def test_a_move_of_an_older_release_is_refused_when_it_is_of_another_layout(text):
    with pytest.raises(FieldsError):
        received(published(text, versioned=False))


@pytest.mark.parametrize(
    "damage",
    [
        {"hidden": []},
        {"hidden": [None, None]},
        {"public": None},
        {"ids": "AAAA"},
        {"ids": "~"},
        {"came_from": [5]},
        {"came_from": None},
    ],
)
def test_a_damaged_move_is_refused(damage):
    body = json.loads(published(RUNNING))
    body["profile"] |= damage
    with pytest.raises(ValueError):  # noqa: PT011 - the sentences are those of rows
        received(json.dumps(body).encode())


def test_a_move_of_other_mappings_that_was_merged_already_is_no_fault():
    value = published(RUNNING)
    world = owners_of(RUNNING)
    world.publish("moves", key_of(B), value)
    world.publish("moves", key_of(B), json.dumps({**json.loads(value), "mapping": "0" * 16}).encode())
    world.drain()
    assert world.profiles()[B]["events"] == 1


def test_a_forwarded_event_gets_the_rank_that_its_stream_has_here():
    """The writer's mappings had a stream before this one: its rank is not folded as if it were ours."""
    follow = {"kind": "follow", "id": "e1", "email": B, "at": 1, "stream": "cm_activity", "timestamp": 1738368000000}
    event = json.dumps(activity(A, 11, name="Old") | {"email": B}).encode().decode()
    world = owners_of(RUNNING)
    world.publish("moves", key_of(B), json.dumps({**follow, "value": event, "arrival": (5 << 48) + 1}).encode())
    world.drain()
    world.send(activity(B, 11, name="New") | {"event_id": "e2"})
    world.send(activity(B, 11, name="Newest") | {"event_id": "e3"})
    world.drain()
    assert world.profiles()[B]["cm_name"] == "Newest"


def test_two_people_exchange_addresses_one_step_after_the_other():
    world = InMemoryOwners()
    events = [activity(A, 1, campaign_id="p1"), activity(B, 2, campaign_id="q1")]
    events += [moved(10, A, C), moved(11, B, A), moved(12, C, B)]
    events += [activity(B, 20, campaign_id="p2"), activity(A, 21, campaign_id="q2")]
    for event in events:
        world.send(event)
        world.drain()

    profiles = world.profiles()
    assert {address: profile["cm_campaign_ids"] for address, profile in profiles.items()} == {
        A: ["q1", "q2"],
        B: ["p1", "p2"],
    }
