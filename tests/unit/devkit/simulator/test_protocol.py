"""Paging, limits and injected faults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.protocol.faults import Fault, FaultPlan, SimulatedLimits
from connectors.devkit.simulator.protocol.paging import PageRequest, envelope, read_page
from connectors.devkit.simulator.settings import SimulatorSettings


def test_an_address_that_is_written_too_quickly():
    limits = SimulatedLimits(SimulatorSettings(address_limit=2, address_window_seconds=10))
    limits.write(0, "l", "A@example.net")
    limits.write(1, "l", "a@example.net")
    limits.write(1, "other", "a@example.net")
    with pytest.raises(SimulatedApiError) as refused:
        limits.write(9, "l", "a@example.net")
    assert (refused.value.status, refused.value.code) == (429, 429)
    assert "too many times too quickly" in refused.value.message
    limits.write(10.5, "l", "a@example.net")


def test_the_window_of_everybody():
    limits = SimulatedLimits(SimulatorSettings(rate_limit=2, rate_window_seconds=60))
    assert [limits.call(100 + n)[0] for n in range(3)] == [True, True, False]
    assert limits.call(130.5)[1] == {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    assert limits.call(160) == (
        True, {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "60"}
    )  # fmt: skip


def test_without_headers():
    limits = SimulatedLimits(SimulatorSettings(rate_limit=1, rate_limit_headers=False))
    assert limits.call(5) == (True, {})
    assert limits.call(6) == (False, {})


def picks(faults, count, method="GET", path="/lists/x/active.json", addresses=()):
    return [faults.next_for(method, (path,), addresses) is not None for _ in range(count)]


def test_faults_count_skip_and_match():
    faults = FaultPlan()
    faults.inject(Fault(kind="status", path="/lists/*", skip=1, count=2))
    assert picks(faults, 1, path="/clients.json") == [False]
    assert picks(faults, 5) == [False, True, True, False, False]
    assert not faults
    number = faults.inject(Fault(kind="reset", method="post", count=None))
    assert picks(faults, 2) == [False, False]
    assert picks(faults, 3, "POST") == [True, True, True]
    faults.clear(number)
    assert picks(faults, 1, "POST") == [False]


def test_faults_for_one_address():
    faults = FaultPlan()
    faults.inject(Fault(kind="reset", address="A@b.cd"))
    assert picks(faults, 1, addresses={"x@y.zz"}) == [False]
    assert picks(faults, 1, addresses={"a@b.cd"}) == [True]


def test_chance_is_seeded():
    def run(seed):
        faults = FaultPlan()
        faults.inject(Fault(kind="reset", probability=0.3, count=None, seed=seed))
        return picks(faults, 300)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 50 < sum(run(1)) < 130


def test_a_misspelt_fault_is_refused():
    with pytest.raises(ValidationError):
        Fault(kind="status", sttus=500)


@given(st.integers(0, 500), st.integers(10, 120), st.booleans())
def test_the_pages_together_are_everything_once(total, size, descending):
    everything, found = list(range(total)), []
    pages = envelope([], PageRequest(1, size, "email", descending), total)["NumberOfPages"]
    for page in range(1, pages + 2):
        request = PageRequest(page, size, "email", descending)
        start, stop = request.window(total)
        rows = everything[start:stop]
        found += rows[::-1] if descending else rows
        assert len(rows) == (size if page < pages else total - size * (pages - 1) if page == pages else 0)
    assert found == (everything[::-1] if descending else everything)


def test_defaults_and_case():
    assert read_page({}, ("date", "email")) == PageRequest(1, 1000, "date", False)
    assert read_page({"orderfield": "EMAIL", "orderdirection": "DESC"}, ("date", "email")) == PageRequest(
        1, 1000, "email", True
    )
    assert read_page({"page": "", "pagesize": ""}, ("date",), descending=True) == PageRequest(1, 1000, "date", True)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"page": "0"}, 800),
        ({"page": "-1"}, 800),
        ({"page": "x"}, 800),
        ({"pagesize": "9"}, 801),
        ({"pagesize": "1001"}, 801),
        ({"orderfield": "size"}, 802),
        ({"orderdirection": "down"}, 803),
    ],
)
def test_refusals(query, code):
    with pytest.raises(SimulatedApiError) as refused:
        read_page(query, ("date", "email"))
    assert (refused.value.code, refused.value.status) == (code, 400)


def test_spelling_of_the_families():
    request = PageRequest(2, 10, "date", True)
    assert envelope([1], request, 11) == {
        "Results": [1], "ResultsOrderedBy": "date", "OrderDirection": "desc", "PageNumber": 2, "PageSize": 10,
        "RecordsOnThisPage": 1, "TotalNumberOfRecords": 11, "NumberOfPages": 2,
    }  # fmt: skip
    assert envelope([], request, 0, field="SentDate", upper=True)["OrderDirection"] == "DESC"
