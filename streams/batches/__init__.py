"""Record batches inside Faust: fast, and safe to crash. See docs/batches.md.

app = BatchApp(BatchSettings(app_id="words", kafka=KafkaSettings(), data_dir=Path("data")))
counts = app.table("counts", codec=JsonCodec(), sources=["words"])

def count(row, records):
    row.data["n"] = row.data.get("n", 0) + len(records)

@app.agent("words")
async def words(batch):
    await counts.fold(batch, count)

app.run()

This is the public interface: nothing outside imports the packages below it. `core` holds values, errors and settings,
`consume` is what replaces Faust's handling of offsets, `table` is the state, `process` puts them together.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.batch import MOVED_FROM, Batch, DeadLetter, Output, Record, StoredRecord, TopicIncarnation, partition_of
    from .core.errors import (
        BatchError,
        CannotListen,
        DamagedRow,
        ExitCode,
        FatalError,
        NotDelivered,
        OutputTooLarge,
        PoisonRecord,
        Revoked,
        RowTooLarge,
        TransientError,
        WrongPosition,
        WrongTopic,
    )
    from .core.killpoints import kill_point
    from .core.metrics import BATCH_METRICS, Declared, Metrics, Sample
    from .core.producer import Producer
    from .core.settings import BatchSettings
    from .process.app import BatchApp, Health
    from .process.recreated import RestoredStore, copy_changelog, discard_stores, restore_changelogs
    from .process.topics import Reset, reset
    from .table.changelog import STATE_HEADER
    from .table.folding import EncodedRow, encode_row
    from .table.rows import (
        Codec,
        JsonCodec,
        RecentIds,
        Row,
        decode_blob,
        decode_hidden,
        encode_blob,
        encode_hidden,
        topic_hash,
    )
    from .table.table import BatchTable

__all__ = [
    "BATCH_METRICS",
    "MOVED_FROM",
    "STATE_HEADER",
    "Batch",
    "BatchApp",
    "BatchError",
    "BatchSettings",
    "BatchTable",
    "CannotListen",
    "Codec",
    "DamagedRow",
    "DeadLetter",
    "Declared",
    "EncodedRow",
    "ExitCode",
    "FatalError",
    "Health",
    "JsonCodec",
    "Metrics",
    "NotDelivered",
    "Output",
    "OutputTooLarge",
    "PoisonRecord",
    "Producer",
    "RecentIds",
    "Record",
    "Reset",
    "RestoredStore",
    "Revoked",
    "Row",
    "RowTooLarge",
    "Sample",
    "StoredRecord",
    "TopicIncarnation",
    "TransientError",
    "WrongPosition",
    "WrongTopic",
    "copy_changelog",
    "decode_blob",
    "decode_hidden",
    "discard_stores",
    "encode_blob",
    "encode_hidden",
    "encode_row",
    "kill_point",
    "partition_of",
    "reset",
    "restore_changelogs",
    "topic_hash",
]

_MODULES = {
    "core.batch": "MOVED_FROM Batch DeadLetter Output Record StoredRecord TopicIncarnation partition_of",
    "core.errors": (
        "BatchError CannotListen DamagedRow ExitCode FatalError NotDelivered OutputTooLarge PoisonRecord Revoked"
        " RowTooLarge TransientError WrongPosition WrongTopic"
    ),
    "core.killpoints": "kill_point",
    "core.metrics": "BATCH_METRICS Declared Metrics Sample",
    "core.producer": "Producer",
    "core.settings": "BatchSettings",
    "process.app": "BatchApp Health",
    "process.recreated": "RestoredStore copy_changelog discard_stores restore_changelogs",
    "process.topics": "Reset reset",
    "table.changelog": "STATE_HEADER",
    "table.folding": "EncodedRow encode_row",
    "table.rows": "Codec JsonCodec RecentIds Row decode_blob decode_hidden encode_blob encode_hidden topic_hash",
    "table.table": "BatchTable",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a command that needs a number of a partition needs no Faust and no table."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return found
