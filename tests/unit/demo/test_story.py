"""The demonstration's story is the same every time, and ends as its events state."""

from datetime import UTC, datetime

import orjson

from schemas.audience_membership import AudienceMembership, AudienceSnapshot
from streams.demo.story import make_story

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_seed_makes_the_same_story():
    assert make_story(people=50, seed=7, start=START) == make_story(people=50, seed=7, start=START)
    assert make_story(people=50, seed=7, start=START) != make_story(people=50, seed=8, start=START)


def test_all_but_the_unusable_records_keep_the_contract():
    story = make_story(people=50, seed=7, start=START)
    usable = 0
    for record in story.records:
        try:
            event = AudienceMembership.from_bytes(record.value).root
        except ValueError:
            continue
        usable += "@" in event.email
    assert usable == story.usable
    assert story.unusable == 3


def test_the_end_is_the_last_change_of_each_audience():
    story = make_story(people=50, seed=7, start=START)
    last = {}
    for record in story.records:
        try:
            event = AudienceMembership.from_bytes(record.value).root
        except ValueError:
            continue
        if isinstance(event, AudienceSnapshot):
            for key in [key for key in last if key[0] == event.email]:
                del last[key]
            for audience in event.audiences:
                last[event.email, audience.name] = (event.at, "enter")
        elif "@" in event.email and last.get((event.email, event.audience.name), (START, ""))[0] <= event.at:
            last[event.email, event.audience.name] = (event.at, event.change)
    assert any(len(audiences) == 0 for audiences in story.audiences_of.values()), "somebody left everything"
    for email, audiences in story.audiences_of.items():
        assert audiences == {name for (who, name), (_at, change) in last.items() if who == email and change == "enter"}


def test_there_are_late_and_repeated_events():
    values = [record.value for record in make_story(people=50, seed=7, start=START).records]
    assert len(values) > len(set(values))
    instants = [orjson.loads(value)["at"] for value in values if b'"at"' in value and b'"enter"' in value]
    assert instants != sorted(instants)
