"""Computed activity: the same each time, found by page, by date and by person without a list of it."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.devkit.simulator.campaigns.activity import (
    ReportRow,
    SeededActivity,
    first_subscribers,
    unique_recipients,
)
from connectors.devkit.simulator.campaigns.mailings import ActivityReport
from connectors.devkit.simulator.data.entities import SimulatedAccount, SimulatedClient, SubscriberList
from connectors.devkit.simulator.data.population import Population
from connectors.devkit.simulator.data.subscriber_store import SubscriberStore
from connectors.devkit.simulator.protocol.paging import PageRequest

UTC_LABEL = "(GMT) Coordinated Universal Time"
START = 1_750_000_000


def list_of(count, first_person=0):
    client = SimulatedClient("c", SimulatedAccount("a", "k", UTC_LABEL), "C", "ck", UTC_LABEL, "Fiji")
    people = Population(1, count, START - 10**7, START, first_person=first_person)
    return SubscriberList(f"list{first_person}", client, "L", subscribers=SubscriberStore(people))


SHAPES = st.tuples(st.integers(1, 80), st.integers(0, 300), st.integers(1, 100), st.integers(1, 999))


@given(SHAPES, st.sampled_from(["opens", "clicks", "bounces"]))
@settings(max_examples=60)
def test_rows_by_person_are_exactly_the_rows(shape, kind):
    people, count, acting, seed = shape
    recipients = first_subscribers([list_of(people)])
    activity = SeededActivity(seed, kind, recipients, count, acting, START, 10**6, ("http://a", "http://b"))
    rows = [activity.row(number) for number in range(activity.count)]
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    by_person = [number for place in range(people) for number in activity.of(recipients.email(place))]
    assert sorted(by_person) == list(range(activity.count))
    assert all(rows[number].email == recipients.email(place) for place in range(people)
               for number in activity.of(recipients.email(place)))  # fmt: skip
    for visible in (0, 1, count // 2, count):
        assert activity.unique(visible) == len({row.email for row in rows[:visible]})
    for moment in (START, START + 3_600, START + 10**6):
        assert activity.before(moment) == sum(row.at < moment for row in rows)
        assert activity.until(moment) == sum(row.at <= moment for row in rows)


def test_the_same_seed_gives_the_same_rows_and_another_does_not():
    def made(seed):
        activity = SeededActivity(seed, "opens", first_subscribers([list_of(200)]), 500, 150, START, 10**6)
        return [activity.row(number) for number in range(500)]

    assert made(3) == made(3)
    assert made(3) != made(4)
    assert max(Counter(made(3)).values()) > 1  # equal rows within a minute exist


ACTS = st.lists(st.tuples(st.integers(-3_000, 90_000), st.sampled_from(["p0000001.liam.doe@people.example", "z@z.zz"])))


@given(st.integers(0, 60), ACTS, st.integers(-4_000, 100_000))
@settings(max_examples=60)
def test_acts_take_their_place_among_computed_rows(count, acts, since):
    recipients = first_subscribers([list_of(30)])
    seeded = SeededActivity(1, "opens", recipients, count, 20, START, 80_000) if count else None
    report, now = ActivityReport(seeded), START + 60_000
    for offset, email in acts:
        report.add(ReportRow(email, "list0", START + offset))
    rows = list(report.rows(now))
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    wanted = [row for row in (seeded.row(n) for n in range(count)) if row.at <= now] if seeded else []
    wanted += [ReportRow(e, "list0", (START + o) // 60 * 60) for o, e in acts if (START + o) // 60 * 60 <= now]
    assert Counter(rows) == Counter(wanted)
    assert report.total(now) == len(rows)
    later = [row for row in rows if row.at >= START + since]
    found = [row for page in range(1, 12) for row in
             report.page(PageRequest(page, 20, "date", False), now, START + since)[0]]  # fmt: skip
    assert found == later[:220]
    backwards, total = report.page(PageRequest(1, 1_000, "date", True), now, START + since)
    assert (backwards, total) == (later[::-1], len(later))
    by_email, _ = report.page(PageRequest(1, 1_000, "email", False), now)
    assert [row.email for row in by_email] == sorted(row.email for row in rows)
    assert report.unique(now) == len({row.email for row in rows})
    assert Counter(report.of("Z@Z.zz", now)) == Counter(row for row in rows if row.email == "z@z.zz")


def test_recipients_are_found_back():
    first, second = list_of(50), list_of(40, first_person=30)
    both = first_subscribers([first, second], 70)
    assert len(both) == 70
    assert [both.email(number) for number in (0, 49, 50)] == [
        first.subscribers.email(0), first.subscribers.email(49), second.subscribers.email(0)
    ]  # fmt: skip
    assert all(both.find(first.subscribers.email(row)) == row for row in range(50))
    assert both.find("nobody@people.example") is None
    unique = unique_recipients([(first, [3, 1, 40]), (second, [10, 2, 5])])  # person 40 is on both
    assert [unique.email(number)[1:8] for number in range(len(unique))] == [
        "0000001", "0000003", "0000040", "0000032", "0000035"
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 1_000])
def test_everybody_opens_when_there_are_as_many_opens_as_people(count):
    activity = SeededActivity(9, "opens", first_subscribers([list_of(count)]), count, count, START, 10**5)
    assert len({activity.row(number).email for number in range(count)}) == count
