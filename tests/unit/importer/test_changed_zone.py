"""A client that chooses another time zone: all dates are written in it from then on, and no event gets a second id."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.repeated_hours import stretch_at
from connectors.campaign_monitor.zones import ZONES
from connectors.importer.readers.reader import PageQuery
from connectors.importer.translate import RowTranslator
from connectors.webhook.translate import HookedList, to_activity
from schemas.import_task import Source
from tests.unit.importer.fake_pages import ReadLoop
from tests.unit.importer.test_repeated_hour import CLICKS, Server, click, server

NEW_YORK, CANBERRA = "America/New_York", "Australia/Sydney"
AUTUMN = datetime(2025, 11, 2, 6, tzinfo=UTC)
"""When clocks go back in New York."""
BEGINS = [
    AUTUMN,
    datetime(2025, 2, 23, 2, tzinfo=UTC),
    datetime(2025, 4, 5, 15, tzinfo=UTC),
    datetime(2025, 10, 26, 0, tzinfo=UTC),
    datetime(2014, 10, 25, 22, tzinfo=UTC),
    datetime(2026, 7, 1, tzinfo=UTC),
]
"""Moments at which clocks go back somewhere, and one at which they do not."""

USERS = Source(resource="users", client_id="c", time_zone="", list_id="l", state="active")

zones = st.sampled_from(sorted(set(ZONES.values())))


@settings(max_examples=150, deadline=None)
@given(
    one=zones,
    other=zones,
    begin=st.sampled_from(BEGINS),
    minutes=st.lists(st.integers(-500, 500), max_size=40),
    people=st.integers(1, 3),
    size=st.integers(10, 30),
)
@example(NEW_YORK, CANBERRA, AUTUMN, [-10, 20, 50, 70], 1, 10)
@example(CANBERRA, NEW_YORK, AUTUMN, [-10, 20, 50, 70], 1, 10)
@example(NEW_YORK, CANBERRA, AUTUMN, [30, 30, 90, -30, -90, 150], 1, 10)
def test_rows_of_a_report_have_the_same_ids_in_every_zone(one, other, begin, minutes, people, size):
    ids = []
    for zone, page_size in ((one, 10), (other, size)):
        of = server(zone, True, 0)
        of.rows = [
            click(of, number, number % people, begin + timedelta(minutes=at)) for number, at in enumerate(minutes)
        ]
        read = ReadLoop(of, CLICKS, zone=zone, size=page_size).run()
        assert len(set(read)) == len(minutes)
        ids.append(sorted(read))
    assert ids[0] == ids[1]


@settings(max_examples=100, deadline=None)
@given(zones, zones, st.sampled_from(BEGINS), st.integers(-500, 500))
@example(NEW_YORK, CANBERRA, AUTUMN, 10)
def test_what_webhooks_and_listings_report_has_the_same_id_in_every_zone(one, other, begin, minutes):
    at = begin + timedelta(minutes=minutes)
    ids: dict[str, set[str]] = {"Subscribe": set(), "Update": set(), "Deactivate": set()}
    for zone in (one, other):
        dates, date = ClientDates(ZoneInfo(zone)), f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}:00"
        row = {"EmailAddress": "a@b.example", "Date": date, "State": "Unsubscribed"}
        for kind, of_kind in ids.items():
            hooked = HookedList("l", "", "c", "", "j", dates)
            of_kind.add(str(to_activity({"Type": kind, **row}, hooked).fields["event_id"]))
        users = Source(resource="users", client_id="c", time_zone="", list_id="l", state="unsubscribed", gap=True)
        unsubscribes = Source(resource="report", client_id="c", time_zone="", campaign_id="k", report="unsubscribes")
        (listed,) = RowTranslator(users, "j", dates, "").translate([row])
        (reported,) = RowTranslator(unsubscribes, "j", dates, "").translate([{**row, "ListID": "l"}])
        for found in (listed, reported):
            assert found.record is not None
            ids["Deactivate"].add(orjson.loads(found.record.value)["event_id"])
    assert [len(found) for found in ids.values()] == [1, 1, 1]


@given(zones, st.sampled_from(BEGINS), st.integers(-500, 500))
def test_both_meanings_of_a_date_are_in_one_stretch_and_count_as_one_instant(zone, begin, minutes):
    local = (begin + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    first, second = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    if first < second:
        stretch = stretch_at(first)
        assert stretch is not None
        assert stretch == stretch_at(second)
        assert stretch.earliest(first) == stretch.earliest(second)


around = st.one_of(st.integers(-300, 300), st.integers(1140, 1740))
"""Minutes near one that clocks change in, and a day later: the overlap of a day begins there."""


class Listing(Server):
    """A listing: its `date` names a day."""

    def page(self, request: PageQuery) -> Page:
        if request.anchor:
            assert len(request.anchor) == len("2026-03-01")
        return super().page(request)


@settings(max_examples=300, deadline=None)
@given(
    listing=st.booleans(),
    one=zones,
    other=zones,
    begin=st.sampled_from(BEGINS),
    minutes=st.lists(around, max_size=40),
    more=st.lists(st.integers(0, 2000), max_size=15),
    people=st.integers(1, 3),
    seed=st.integers(0, 100),
)
@example(False, NEW_YORK, CANBERRA, AUTUMN, [-300, 1600], [], 1, 0)
@example(True, NEW_YORK, CANBERRA, AUTUMN, [-300, 1600], [], 1, 0)
@example(True, CANBERRA, NEW_YORK, AUTUMN, [-300, 1600], [5], 1, 0)
@example(False, NEW_YORK, CANBERRA, AUTUMN, [0, 30, 90, 130, 1500], [5], 1, 0)
@example(False, NEW_YORK, CANBERRA, AUTUMN, [-30, 30, 1450], [5], 1, 0)
@example(False, CANBERRA, NEW_YORK, AUTUMN, [-30, 30, 1450], [5], 1, 0)
def test_each_row_is_published_once_when_the_zone_changes_between_two_runs(
    listing, one, other, begin, minutes, more, people, seed
):
    of: Server = Listing(lambda row: ()) if listing else server(one, True, 0)
    of.zone, of.fold = ZoneInfo(one), 0
    source = USERS if listing else CLICKS

    def come(at: list[int]) -> None:
        for after in at:
            number = len(of.rows)
            of.rows.append(click(of, number, number if listing else number % people, begin + timedelta(minutes=after)))

    if listing:  # rows of listings have another id where a date has two meanings
        ambiguous = [ClientDates(ZoneInfo(zone)) for zone in (one, other)]
        minutes, more = [
            [
                at
                for at in added
                if not any(
                    dates.repeated(dates.local(begin + timedelta(minutes=at)).isoformat(" ")) for dates in ambiguous
                )
            ]
            for added in (minutes, more)
        ]
    loop = ReadLoop(of, source, zone=one, seed=seed)
    come(sorted(minutes))
    loop.run()
    latest = max(minutes, default=0)
    for zone in (other, one):
        of.zone, loop.zone = ZoneInfo(zone), zone
        for row in of.rows:
            row["Date"] = f"{row['at'].astimezone(of.zone):%Y-%m-%d %H:%M}:00"
        assert loop.run() == [], "nothing is published again"
        come([latest + after for after in sorted(more)])
        latest += max(more, default=0)
        loop.run()
        assert len(loop.published) == len(set(loop.published)) == len(of.rows)
