"""The same world as the unit tests of the export."""

from tests.unit.export.conftest import event_loop_policy, world

__all__ = ["event_loop_policy", "world"]
