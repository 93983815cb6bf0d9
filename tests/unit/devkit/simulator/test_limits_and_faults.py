import pytest
from pydantic import ValidationError

from connectors.devkit.simulator.protocol.errors import ApiError
from connectors.devkit.simulator.protocol.faults import Fault, Faults
from connectors.devkit.simulator.protocol.limits import Limits
from connectors.devkit.simulator.settings import SimulatorSettings


def test_an_address_that_is_written_too_quickly():
    limits = Limits(SimulatorSettings(address_limit=2, address_window_seconds=10))
    limits.write(0, "l", "A@example.net")
    limits.write(1, "l", "a@example.net")
    limits.write(1, "other", "a@example.net")
    with pytest.raises(ApiError) as refused:
        limits.write(9, "l", "a@example.net")
    assert (refused.value.status, refused.value.code) == (429, 429)
    assert "too many times too quickly" in refused.value.message
    limits.write(10.5, "l", "a@example.net")


def test_the_window_of_everybody():
    limits = Limits(SimulatorSettings(rate_limit=2, rate_window_seconds=60))
    assert [limits.call(100 + n)[0] for n in range(3)] == [True, True, False]
    assert limits.call(130.5)[1] == {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}
    assert limits.call(160) == (
        True, {"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "60"}
    )  # fmt: skip


def test_without_headers():
    limits = Limits(SimulatorSettings(rate_limit=1, rate_limit_headers=False))
    assert limits.call(5) == (True, {})
    assert limits.call(6) == (False, {})


def picks(faults, count, method="GET", path="/lists/x/active.json", addresses=()):
    return [faults.pick(method, (path,), addresses) is not None for _ in range(count)]


def test_faults_count_skip_and_match():
    faults = Faults()
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
    faults = Faults()
    faults.inject(Fault(kind="reset", address="A@b.cd"))
    assert picks(faults, 1, addresses={"x@y.zz"}) == [False]
    assert picks(faults, 1, addresses={"a@b.cd"}) == [True]


def test_chance_is_seeded():
    def run(seed):
        faults = Faults()
        faults.inject(Fault(kind="reset", probability=0.3, count=None, seed=seed))
        return picks(faults, 300)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 50 < sum(run(1)) < 130


def test_a_misspelt_fault_is_refused():
    with pytest.raises(ValidationError):
        Fault(kind="status", sttus=500)
