"""A launcher for each test process, a farm for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.batches.farm import Farm
from tests.faults.batches.launcher import Launcher


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Forks workers."""
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def make_farm(
    launcher: Launcher, namespace: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Iterator[Callable[[str], Farm]]:
    """A farm on a broker of the test's choice."""
    made: list[Farm] = []

    def make(bootstrap_servers: str) -> Farm:
        directory = tmp_path / f"farm{len(made)}"
        made.append(Farm(launcher, bootstrap_servers, f"{namespace}{len(made)}-", directory, record_property))
        return made[-1]

    yield make
    for farm in made:
        farm.kill()


@pytest.fixture
def farm(make_farm: Callable[[str], Farm], bootstrap_servers: str) -> Farm:
    """A farm on the run's broker."""
    return make_farm(bootstrap_servers)
