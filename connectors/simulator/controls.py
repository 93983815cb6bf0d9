"""All verbs of the simulator's own interface, for the same process and, by name, for others."""

import inspect
from collections.abc import Mapping
from typing import Any

from connectors.simulator.book_reading import BookReading
from connectors.simulator.operations import Operations
from connectors.simulator.people_acts import PeopleActs
from connectors.simulator.seeding import Seeding


class Controls(Seeding, PeopleActs, Operations, BookReading):
    """Synchronous: an act is done when the call returns."""

    def do(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a verb by its name. Raises LookupError for an unknown verb or thing, TypeError for arguments."""
        if verb not in VERBS:
            raise LookupError(f"no verb {verb!r}; there are: {', '.join(sorted(VERBS))}")
        return getattr(self, verb)(**arguments)


_INTERNAL = {"do", "client", "list", "each_subscriber"}

VERBS = frozenset(
    name
    for name, member in inspect.getmembers(Controls, inspect.isfunction)
    if not name.startswith("_") and name not in _INTERNAL
)
"""What `do` and `POST /simulator/do/{verb}` take."""
