from collections.abc import Sequence

from schemas.envelope import EpochMillis
from streams.batches import Output
from streams.export.recovery.receipts import ReceiptContext
from streams.export.rules.flat_import import FlatImport

def receipts(
    context: ReceiptContext,
    job: str,
    list_id: str,
    people: Sequence[FlatImport],
    added_known: bool | None,
    added_unknown: bool | None,
    source: int,
    at: str,
    accepted: EpochMillis,
    longest: int,
    /,
) -> list[tuple[str, Output]]: ...
