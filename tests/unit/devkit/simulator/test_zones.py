from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.data.zones import LABELS, day_start, instant, local_text, zone_of
from connectors.devkit.simulator.state import SimulatedClock

SYDNEY, NEW_YORK = ZoneInfo("Australia/Sydney"), ZoneInfo("America/New_York")


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp())


def test_daylight_saving_shifts_the_text():
    assert local_text(at(2026, 4, 4, 15, 30), SYDNEY) == "2026-04-05 02:30:00"
    assert local_text(at(2026, 4, 4, 16, 30), SYDNEY) == "2026-04-05 02:30:00"  # the repeated hour
    assert local_text(at(2026, 3, 8, 6, 59), NEW_YORK) == "2026-03-08 01:59:00"
    assert local_text(at(2026, 3, 8, 7, 0), NEW_YORK) == "2026-03-08 03:00:00"  # the missing hour


def test_filters_are_read_in_the_zone():
    assert instant("2026-07-01", SYDNEY) == at(2026, 6, 30, 14)
    assert instant("2026-07-01 00:30", SYDNEY) == at(2026, 6, 30, 14, 30)
    assert instant("2026-01-01 00:00:01", SYDNEY) == at(2025, 12, 31, 13, 0, 1)
    assert instant("2026-04-05 02:30", SYDNEY) == at(2026, 4, 4, 15, 30)  # the first of the two
    for wrong in ("", "soon", "2026-13-01", "01-02-2026"):
        with pytest.raises(ValueError, match="no date"):
            instant(wrong, SYDNEY)


@given(st.integers(at(2000, 1, 1), at(2040, 1, 1)), st.sampled_from([SYDNEY, NEW_YORK, ZoneInfo("UTC")]))
def test_text_and_back_is_the_same_or_an_hour_earlier(moment, zone):
    back = instant(local_text(moment, zone), zone)
    assert moment - back in (0, 3_600)


def test_day_start_is_local():
    assert int(day_start(at(2026, 6, 1, 3), NEW_YORK).timestamp()) == at(2026, 5, 31, 4)


def test_every_label_has_a_zone():
    assert len(LABELS) == 97
    assert all(zone_of(label).utcoffset(datetime(2026, 1, 1)) is not None for label in LABELS)
    with pytest.raises(ValueError, match="no time-zone label"):
        zone_of("(GMT) Atlantis")


def test_the_clock_runs_freezes_and_jumps():
    clock = SimulatedClock(datetime(2026, 3, 1, tzinfo=UTC), frozen=True)
    assert clock.now() == at(2026, 3, 1)
    before = clock.time()
    clock.advance(90)
    assert clock.time() == before + 90
    clock.resume()
    assert before + 90 <= clock.time() < before + 100
    clock.freeze(at=5.0)
    assert clock.time() == 5.0
    with pytest.raises(ValueError, match="time zone"):
        SimulatedClock(datetime(2026, 3, 1))
