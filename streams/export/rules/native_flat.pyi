from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schemas.envelope import EpochMillis
from streams.batches import Record
from streams.export.rules.flat_import import FlatImport, FlatPlan
from streams.export.rules.jobs import AudienceNames
from streams.export.rules.membership import MembershipEvent

def short_digest(content: bytes, /) -> str: ...

class PlainRecord:
    record: Record
    key: bytes
    audience: str
    position: int

def plain_records(
    records: Sequence[Record], names: AudienceNames, tolerance: EpochMillis, /
) -> tuple[dict[bytes, PlainRecord], list[Record]]: ...
def newcomers(
    stored: Iterable[tuple[bytes, bytes | None]],
    plain: Mapping[bytes, PlainRecord],
    group_of: Callable[[str], Any],
    after: int,
    source: int,
    partition: int,
    /,
) -> list[tuple[bytes, bytes | None]]: ...

class FlatPass:
    def __init__(self, plan: FlatPlan) -> None: ...
    def newcomer(self, plain: PlainRecord, source: int, /) -> FlatImport | None: ...
    def person(
        self, key: bytes, events: Sequence[MembershipEvent], value: bytes | None, source: int, /
    ) -> FlatImport | None: ...
