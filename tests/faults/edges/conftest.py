"""Workers, each a process with a disk of its own; and the export beside a simulated Campaign Monitor."""

from tests.faults.batches.conftest import farm, launcher, make_farm
from tests.faults.edges.real_workers import start
from tests.integration.export.conftest import world

__all__ = ["farm", "launcher", "make_farm", "start", "world"]
