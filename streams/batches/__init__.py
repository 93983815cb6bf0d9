"""Record batches inside Faust: fast, and safe to crash. See docs/batches.md.

app = BatchApp(BatchSettings(app_id="words", kafka=KafkaSettings(), data_dir=Path("data")))
counts = app.table("counts", codec=JsonCodec(), sources=["words"])

def count(row, records):
    row.data["n"] = row.data.get("n", 0) + len(records)

@app.agent("words")
async def words(batch):
    await counts.fold(batch, count)

app.run()
"""

from .app import BatchApp, Health
from .batch import Batch, DeadLetter, Output, Record, Source, StoredRecord
from .errors import (
    BatchError,
    ExitCode,
    FatalError,
    NotDelivered,
    PoisonRecord,
    Revoked,
    RowTooLarge,
    TransientError,
    WrongPosition,
    WrongTopic,
)
from .metrics import Metrics, Sample
from .producer import Producer
from .recent import RecentIds
from .rows import Codec, JsonCodec, Row
from .settings import BatchSettings
from .table import BatchTable

__all__ = [
    "Batch",
    "BatchApp",
    "BatchError",
    "BatchSettings",
    "BatchTable",
    "Codec",
    "DeadLetter",
    "ExitCode",
    "FatalError",
    "Health",
    "JsonCodec",
    "Metrics",
    "NotDelivered",
    "Output",
    "PoisonRecord",
    "Producer",
    "RecentIds",
    "Record",
    "Revoked",
    "Row",
    "RowTooLarge",
    "Sample",
    "Source",
    "StoredRecord",
    "TransientError",
    "WrongPosition",
    "WrongTopic",
]
