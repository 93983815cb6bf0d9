from collections.abc import Sequence

from streams.export.rules.flat_import import FlatImport, FlatPlan
from streams.export.rules.membership import MembershipEvent

class FlatPass:
    def __init__(self, plan: FlatPlan) -> None: ...
    def person(
        self, key: bytes, events: Sequence[MembershipEvent], value: bytes | None, source: int, /
    ) -> FlatImport | None: ...
