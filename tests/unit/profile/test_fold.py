"""One profile from any order, any split and any repetition of its events; compared with an obvious fold."""

import json
import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import key_of
from streams.batches import StoredRecord
from streams.mapping.catalog import read_catalog
from streams.profile.folding.fold import BatchEffects, ProfileFold, ProfileTopics
from tests.unit.profile.in_memory_owners import ARRIVED, InMemoryOwners, activity

ADDRESS = "a@x.com"
EVENTS = st.sampled_from(["sent", "open", "click", "subscribe", "deactivate", "bounce"])

ACTIVITIES = st.builds(
    lambda second, event, campaign, status, cc, url, echo: {
        "at": f"2025-01-{1 + second // 86400:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z",
        "event": event,
        "email": ADDRESS,
        "source": "campaign",
        "echo": echo,
        **({"campaign_id": campaign} if campaign else {}),
        **({"status": status} if status else {}),
        **({"cc": cc} if cc else {}),
        **({"url": url} if url else {}),
    },
    second=st.integers(0, 20 * 86400) | st.integers(0, 3),
    event=EVENTS,
    campaign=st.sampled_from(["", "k1", "k2", "k3", "é"]),
    status=st.sampled_from(["", "unsubscribe", "bounce"]),
    cc=st.sampled_from(["", "DE", "AU", "NL"]),
    url=st.sampled_from(["", "https://e.com/a?x=1", "http://e.com/a", "mailto:x"]),
    echo=st.booleans(),
)
USERS = st.builds(
    lambda second, name, list_id, status: {
        "at": f"2025-01-01T00:00:{second:02d}Z",
        "email": ADDRESS,
        "client_id": "c1",
        "status": status,
        **({"name": name} if name else {}),
        **({"list_id": list_id, "list_name": list_id.upper()} if list_id else {}),
    },
    second=st.integers(0, 5),
    name=st.sampled_from(["", "Ann", "Bob"]),
    list_id=st.sampled_from(["", "l1", "l2"]),
    status=st.sampled_from(["Active", "Unsubscribed"]),
)
HISTORY = st.lists(st.tuples(st.just("cm_activity"), ACTIVITIES) | st.tuples(st.just("cm_user"), USERS), max_size=25)


def numbered(history):
    """Records with ids and places, as they were published: (stream, record)."""
    return [
        (stream, StoredRecord(n, key_of(ADDRESS), json.dumps(m | {"event_id": f"{n:032x}"}).encode(), ARRIVED + n))
        for n, (stream, m) in enumerate(history)
    ]


def folded(fold, pieces):
    """The row's bytes after folding pieces of records, each read from bytes and written to bytes."""
    value, state = None, b""
    effects = BatchEffects(0)
    for piece in pieces:
        profile = fold.codec.decode(key_of(ADDRESS), value, state)
        for stream, record in piece:
            reader = fold.streams[stream]
            fold.events(profile, ADDRESS, reader, [reader.reader.read(record)[1]], effects)
        value, state = fold.codec.encode(profile)
    return value, profile


def split(records, cuts):
    return [records[a:b] for a, b in pairwise([0, *sorted(cuts), len(records)])]


@settings(max_examples=150, deadline=None)
@given(HISTORY, st.randoms(use_true_random=False), st.integers(1, 8))
def test_order_pieces_and_repetition_do_not_matter(history, rnd: random.Random, pieces):
    fold = InMemoryOwners().fold
    records = numbered(history)
    wanted, as_told = folded(fold, [records])

    arranged = records + rnd.choices(records, k=len(records)) if records else []
    rnd.shuffle(arranged)
    got, profile = folded(fold, split(arranged, [rnd.randint(0, len(arranged)) for _ in range(pieces)]))

    assert got == wanted
    assert profile.fields.hidden() == as_told.fields.hidden()


@settings(max_examples=100, deadline=None)
@given(HISTORY)
def test_the_fold_is_what_an_obvious_one_gives(history):
    fold = InMemoryOwners().fold
    value, _ = folded(fold, [numbered(history)])
    profile = json.loads(value) if value else {}

    history = [(stream, message) for stream, message in history if not message.get("echo")]
    activities = [message for stream, message in history if stream == "cm_activity"]
    opens = [message for message in activities if message["event"] == "open"]
    assert profile.get("cm_email_event", {}) == Counter(message["event"] for message in activities)
    assert profile.get("cm_sendct", 0) == sum(message["event"] == "sent" for message in activities)
    hours = Counter(str(int(message["at"][11:13])) for message in opens)
    assert profile.get("cm_hourlyopen", {}) == hours
    assert profile.get("cm_campaign_ids", []) == sorted({m["campaign_id"] for m in activities if "campaign_id" in m})
    assert profile.get("cm_firstopen_ts") == (min(m["at"] for m in opens)[:-1] + ".000Z" if opens else None)
    assert profile.get("cm_lastopen_ts") == (max(m["at"] for m in opens)[:-1] + ".000Z" if opens else None)
    placed = [(m["at"], n, m["cc"]) for n, (_, m) in enumerate(history) if "cc" in m]
    assert profile.get("country_code") == (max(placed)[2] if placed else None)
    statuses = {}
    for n, (stream, m) in enumerate(history):
        if stream == "cm_user" and "list_id" in m:
            statuses[m["list_id"]] = max(statuses.get(m["list_id"], ("", -1, "")), (m["at"], n, m["status"]))
    assert profile.get("cm_list_ids_status", {}) == {key: status for key, (_, _, status) in statuses.items()}


SMALL = read_catalog(
    [
        (
            "small.lql",
            """SELECT set(url) AS urls CAPACITY 3, map(url, cc) AS last CAPACITY 3, valuect(url) AS sums CAPACITY 3,
               set(cc) AS days KEEPDAYS 2 FROM cm_activity INTO user BY email(email)""",
        )
    ]
)
MANY_URLS = st.lists(
    st.builds(
        lambda hour, url, cc: (
            activity(ADDRESS, 0, second=0, url=url, cc=cc)
            | {"at": f"2025-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z"}
        ),
        hour=st.integers(0, 300),
        url=st.sampled_from("abcdefgh"),
        cc=st.sampled_from("WXYZ"),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(MANY_URLS, st.randoms(use_true_random=False))
def test_what_is_full_gives_up_the_oldest_in_any_order(messages, rnd):
    fold = ProfileFold(SMALL, ProfileTopics("moves", "erasures"))
    records = numbered([("cm_activity", message) for message in messages])
    arranged = rnd.sample(records, len(records))
    (one, _), (other, _) = folded(fold, [records]), folded(fold, split(arranged, [len(records) // 2]))
    first, second = json.loads(one or b"{}"), json.loads(other or b"{}")

    latest = {}
    for message in messages:
        latest[message["url"]] = max(latest.get(message["url"], ""), message["at"])
    kept = sorted(latest, key=lambda url: (latest[url], url))[-3:]
    assert first.get("urls", []) == second.get("urls", []) == sorted(kept)
    assert first.get("last") == second.get("last")
    stamps = {
        message["url"]: max((m["at"], n) for n, m in enumerate(messages) if m["url"] == message["url"])
        for message in messages
    }
    assert list(first.get("last", {})) == list(second.get("last", {})) == sorted(stamps, key=stamps.get)[-3:]
    assert list(first.get("sums", {})) == list(second.get("sums", {})) == kept
    assert first.get("days") == second.get("days")
    for url, total in first.get("sums", {}).items():
        assert 1 <= total <= sum(message["url"] == url for message in messages)


def test_ties_go_to_the_later_arrival_however_they_are_folded():
    fold = InMemoryOwners().fold
    records = numbered([("cm_activity", activity(ADDRESS, 0, second=0, cc=cc)) for cc in ("DE", "NL", "AU")])

    assert {json.loads(folded(fold, [order])[0])["country_code"] for order in (records, records[::-1])} == {"AU"}


def test_an_event_published_twice_with_different_fields_is_counted_once_and_both_are_folded():
    published = [
        activity(ADDRESS, 7, "deactivate", status="unsubscribe", list_id="l1"),
        activity(ADDRESS, 7, "deactivate", status="unsubscribe", list_id="l1", campaign_id="k1"),
    ]
    for order in (published, published[::-1]):
        world = InMemoryOwners()
        for message in order:
            world.send(message)
        world.drain()
        profile = world.profiles()[ADDRESS]
        assert profile["cm_email_event"] == {"deactivate": 1}
        assert profile["cm_campaign_ids"] == ["k1"]


@pytest.mark.parametrize("change", [{}, {"status": "unsubscribe"}])
@pytest.mark.parametrize("event", ["subscribe", "update", "deactivate"])
def test_the_echo_of_our_own_write_changes_no_field(event, change):
    world = InMemoryOwners()
    world.send(activity(ADDRESS, 1, "open", list_id="l1"))
    world.drain()
    before = world.profiles()[ADDRESS]
    world.send(activity(ADDRESS, 2, event, name="Ann", list_id="l2", echo=True, **change))
    world.drain()
    assert world.profiles()[ADDRESS] == before


def test_a_repeat_sets_values_and_counts_nothing_also_when_its_id_is_forgotten():
    """After 8 days a profile does not know that it has counted an event."""
    world = InMemoryOwners()
    world.send(activity(ADDRESS, 1, "open", list_id="l1"))
    world.drain()
    counted = world.profiles()[ADDRESS]["cm_openct"]
    world.send(activity(ADDRESS, 2, "open", list_id="l2", cc="BE", repeat=True))
    world.drain()
    profile = world.profiles()[ADDRESS]
    assert profile["cm_openct"] == counted == 1
    assert profile["country_code"] == "BE"
    world.send(activity(ADDRESS, 2, "open", list_id="l2", cc="BE"))
    world.drain()
    assert world.profiles()[ADDRESS]["cm_openct"] == 2, "it was new, and comes unmarked as well"


def test_the_echo_of_an_address_that_we_changed_moves_the_profile():
    world = InMemoryOwners()
    world.send(activity(ADDRESS, 1, "open"))
    world.send(activity("b@x.com", 2, "update", old_email=ADDRESS, echo=True))
    world.drain()
    assert world.profiles()["b@x.com"]["cm_openct"] == 1
    assert ADDRESS not in world.profiles()


def test_removals_move_with_the_profile():
    world = InMemoryOwners()
    removal = {"source": "export", "echo": True, "status": "unsubscribe", "list_id": "l1"}
    world.send(activity(ADDRESS, 1, "open"))
    world.send(activity(ADDRESS, 60, "deactivate", **removal))
    world.send(activity("b@x.com", 120, "update", old_email=ADDRESS))
    world.drain()
    world.send(activity(ADDRESS, 61, "deactivate", status="unsubscribe", list_id="l1"))
    world.drain()
    assert "cm_unsub_ts" not in world.profiles()["b@x.com"]
    world.send(activity(ADDRESS, 62, "deactivate", status="unsubscribe", list_id="l2"))
    world.drain()
    assert "cm_unsub_ts" in world.profiles()["b@x.com"]


def test_a_future_time_counts_as_its_arrival():
    world = InMemoryOwners()
    world.send(activity(ADDRESS, 1, cc="NL") | {"at": "2099-01-01T00:00:00Z"})
    world.drain()
    assert world.profiles()[ADDRESS]["cm_lastopen_ts"].startswith("2025-02-01T00:00:00")


def test_a_run_of_many_events_on_a_row_with_many_ids_counts_each_once():
    fold, effects = InMemoryOwners().fold, BatchEffects(0)
    stream = fold.streams["cm_activity"]
    events = [
        stream.reader.read(record)[1]
        for _, record in numbered([("cm_activity", activity(ADDRESS, n)) for n in range(400)])
    ]
    profile = fold.codec.decode(key_of(ADDRESS), None, b"")
    for start, stop in ((0, 200), (150, 250), (240, 243), (200, 400), (0, 400)):
        run = events[start:stop]
        fold.events(profile, ADDRESS, stream, [*run, *run], effects)
    assert profile.fields.public()["cm_openct"] == 400
    assert len(profile.ids) == 400 * 12
    assert effects.forgotten_early == 0
