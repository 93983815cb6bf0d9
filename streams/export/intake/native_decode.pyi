from collections.abc import Callable
from typing import Any

from schemas.envelope import EpochMillis
from streams.export.rules.membership import MembershipEvent

def event_of(
    message: dict[str, Any],
    position: int,
    appended: EpochMillis,
    tolerance: EpochMillis,
    millis_of: Callable[[str], EpochMillis | None],
    fault_of_field: Callable[[dict[str, Any]], str | None],
    /,
) -> MembershipEvent | None: ...
