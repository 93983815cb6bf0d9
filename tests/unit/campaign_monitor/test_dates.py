"""Dates of a client become instants; labels become zones, or fail with their text."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.dates import ClientDates, UnknownZone, zone_of
from connectors.campaign_monitor.zones import ZONES

LABELS = [line.rsplit("|", 1) for line in Path(__file__).with_name("zone_labels.txt").read_text().splitlines()]


def offset_of(label: str) -> timedelta:
    printed = label[4 : label.index(")")]
    if not printed:
        return timedelta(0)
    hours, minutes = printed[1:].split(":")
    size = timedelta(hours=int(hours), minutes=int(minutes))
    return -size if printed[0] == "-" else size


@pytest.mark.parametrize(("label", "zone"), LABELS)
def test_every_label_has_its_zone(label: str, zone: str) -> None:
    assert zone_of(label).key == zone


@pytest.mark.parametrize(("label", "zone"), LABELS)
def test_a_zone_has_had_the_printed_offset_as_its_standard_time(label: str, zone: str) -> None:
    standard = set()
    for year in range(2004, 2027):
        for month in (1, 7):
            at = datetime(year, month, 1, tzinfo=ZoneInfo(zone))
            standard.add((at.utcoffset() or timedelta()) - (at.dst() or timedelta()))
    assert offset_of(label) in standard, f"{zone} was never at {label}"


def test_every_newer_label_has_a_zone_that_exists() -> None:
    for label in ZONES:
        assert zone_of(f"(GMT+99:00)  {label.upper()} ").key


def test_the_offset_does_not_count_and_la_paz_is_in_two_zones() -> None:
    assert zone_of("(GMT+03:00) Minsk").key == zone_of("(GMT+02:00) Minsk").key == "Europe/Minsk"
    assert zone_of("(GMT-07:00) Chihuahua, La Paz, Mazatlan").key == "America/Mazatlan"
    assert zone_of("(GMT-04:00) Georgetown, La Paz, Manaus, San Juan").key == "America/La_Paz"
    assert zone_of("(GMT+03:00) Moscow, St. Petersburg, Volgograd (RTZ 2)").key == "Europe/Moscow"


def test_an_unknown_label_fails_loudly() -> None:
    with pytest.raises(UnknownZone, match=r"\(GMT\+01:00\) Atlantis.*CM_ZONE_OVERRIDES"):
        zone_of("(GMT+01:00) Atlantis")


def test_overrides() -> None:
    assert zone_of("(GMT+01:00) Atlantis", {"Atlantis": "Europe/Lisbon"}).key == "Europe/Lisbon"
    assert zone_of("(GMT-11:00) Samoa", {"(GMT-11:00) Samoa": "Pacific/Pago_Pago"}).key == "Pacific/Pago_Pago"
    with pytest.raises(ValueError, match="no IANA zone"):
        zone_of("Atlantis", {"Atlantis": "Nowhere/There"})


SYDNEY = "(GMT+10:00) Canberra, Melbourne, Sydney"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-02-03 14:05:00", "2026-02-03T03:05:00.000Z"),  # summer there
        ("2026-07-03 14:05:09", "2026-07-03T04:05:09.000Z"),  # winter
        ("2026-04-05 02:30:00", "2026-04-04T15:30:00.000Z"),  # comes twice: the first pass, still daylight time
        ("2026-04-05 03:00:00", "2026-04-04T17:00:00.000Z"),
        ("2026-10-04 02:30:00", "2026-10-03T16:30:00.000Z"),  # left out: as if the clock had not been moved
        ("2026-10-04 03:00:00", "2026-10-03T16:00:00.000Z"),
        ("2026-02-03", "2026-02-02T13:00:00.000Z"),
        ("2026-02-03 14:05", "2026-02-03T03:05:00.000Z"),
        ("2026-02-03T14:05:00", "2026-02-03T03:05:00.000Z"),
        ("2026-02-03T14:05:00+02:00", "2026-02-03T12:05:00.000Z"),
        ("2026-02-03T14:05:00Z", "2026-02-03T14:05:00.000Z"),
    ],
)
def test_local_text_becomes_utc(text: str, utc: str) -> None:
    dates = ClientDates.of(SYDNEY)
    assert dates.utc_text(text) == utc
    assert dates.utc_text(text) == utc, "the remembered way gives the same"


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01 00:00:00", "0000-00-00", "2026-02-03 25:00:00", "03/02/2026"])
def test_what_is_no_date_is_refused(text: str) -> None:
    dates = ClientDates.of(SYDNEY)
    with pytest.raises(ValueError, match=r".+"):
        dates.utc(text)
    assert dates.utc_text_or_none(text) is None


@given(
    local=st.datetimes(datetime(1995, 1, 1), datetime(2037, 1, 1)),
    zone=st.sampled_from(sorted({*ZONES.values(), "Australia/Lord_Howe", "America/St_Johns"})),
)
def test_the_remembered_way_agrees_with_the_zone_database(local: datetime, zone: str) -> None:
    dates = ClientDates(ZoneInfo(zone))
    text = f"{local:%Y-%m-%d %H:%M:%S}"
    slowly = local.replace(microsecond=0, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert dates.utc(text) == dates.utc(text) == slowly
    assert dates.utc_text(text) == f"{slowly:%Y-%m-%dT%H:%M:%S}.000Z"


def test_a_day_that_ends_with_the_offset_of_its_beginning_had_no_other() -> None:
    """Days are remembered whole, so those around each change of the clocks are looked at."""
    for zone in sorted({*ZONES.values(), "Australia/Lord_Howe", "America/St_Johns"}):
        dates, clock = ClientDates(ZoneInfo(zone)), ZoneInfo(zone)
        for day in _days_of_changes(clock):
            for hour in range(24):
                local = day.replace(hour=hour, minute=59)
                expected = local.replace(tzinfo=clock).astimezone(UTC)
                assert dates.utc_text(f"{local:%Y-%m-%d %H:%M:%S}") == f"{expected:%Y-%m-%dT%H:%M:%S}.000Z", zone


def _days_of_changes(zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the day of each change of a zone's offset and the one after it, 2012 to 2037."""
    day, before = datetime(2012, 1, 1), datetime(2012, 1, 1, tzinfo=zone).utcoffset()
    while day.year < 2038:
        following = day + timedelta(days=14)
        if following.replace(tzinfo=zone).utcoffset() != before:
            days = (day + timedelta(days=number) for number in range(15))
            changed = next(at for at in days if at.replace(tzinfo=zone).utcoffset() != before)
            yield from (changed - timedelta(days=number) for number in range(2))
            before = following.replace(tzinfo=zone).utcoffset()
        day = following


@given(instant=st.datetimes(datetime(2020, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)))
def test_filters_are_the_clients_clock(instant: datetime) -> None:
    dates = ClientDates.of("(GMT-03:30) Newfoundland")
    assert dates.utc(dates.minute_filter(instant)) <= instant
    assert dates.minute_filter(instant) <= f"{dates.local(instant):%Y-%m-%d %H:%M}"


def test_memory_is_bounded() -> None:
    dates = ClientDates.of(SYDNEY)
    start = datetime(1900, 1, 1, tzinfo=UTC)
    for hour in range(45_000):
        dates.utc_text(f"{start + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}")
    assert len(dates._offsets) <= 20_000
    assert len(dates._texts) <= 20_000
    for day in range(9_000):
        dates.utc_text(f"{start + timedelta(days=day):%Y-%m-%d} 10:00:00")
    assert len(dates.days) <= 4_000


@pytest.mark.parametrize(
    ("text", "zone"), [("0001-01-01 00:00:00", "Pacific/Auckland"), ("9999-12-31 23:59:59", "America/New_York")]
)
def test_dates_at_the_edges_of_the_calendar_are_no_dates(text: str, zone: str) -> None:
    """A webhook post with one was answered with 500, so it would have come again for a week."""
    dates = ClientDates(ZoneInfo(zone))
    assert dates.utc_text_or_none(text) is None
    with pytest.raises(ValueError, match="outside of the calendar"):
        dates.utc(text)
