"""The program under fault: a job that counts each key's records, on BatchApp.run()."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from streams.batches import (
    BatchApp,
    BatchSettings,
    BatchTable,
    JsonCodec,
    Output,
    PoisonRecord,
    TransientError,
)
from streams.batches.core import killpoints
from tests.faults.batches import sabotage

MARKS = struct.Struct("=4q")
"""Agents at work, settled and not committed (0 or 1), batches done, microseconds to pause at every boundary."""


class Marks:
    """What the driver sees of a worker at the instant at which it kills it: memory that outlives the process."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), MARKS.size)

    def read(self) -> tuple[int, ...]:
        """All of them."""
        return MARKS.unpack(self._memory[:])

    def put(self, place: int, value: int) -> None:
        """Set one."""
        struct.pack_into("=q", self._memory, place * 8, value)

    def add(self, place: int, more: int) -> None:
        """Change one."""
        self.put(place, self.read()[place] + more)


def fold(row: Any, records: Any) -> None:
    """Count; remember which numbers were counted, and which were counted again."""
    data = row.data or {"n": 0, "sum": 0, "last": -1, "seen": "0", "again": []}
    row.data = data
    seen = int(data["seen"], 16)
    for record in records:
        try:
            content = json.loads(record.value or b"")
            number, amount = content["i"], content["v"]
            bit = 1 << number
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PoisonRecord(f"not an event: {type(error).__name__}", stage="parse") from error
        if content.get("bug"):
            raise ZeroDivisionError("a defect of the job")
        if seen & bit:
            data["again"].append(number)
        seen |= bit
        data["n"] += 1
        data["sum"] += amount
        data["last"] = number
    data["seen"] = f"{seen:x}"


def fold_and_tell(topic: str) -> Any:
    """The same, and every good record is passed on to a topic."""

    def with_output(row: Any, records: Any) -> list[Output]:
        fold(row, records)
        return [Output(topic, record.key, record.value) for record in records]

    return with_output


def build(config: dict[str, Any], marks: Marks) -> BatchApp:
    """The app; `config` is what Farm.start wrote."""
    app = BatchApp(BatchSettings(**config["settings"]))
    source = config["source"]
    table = app.table("counts", codec=JsonCodec(), sources=[source], changelog=config["changelog"], public=True)
    failures = config.get("transient_failures", 0)
    counted = fold_and_tell(config["outputs"]) if "outputs" in config else fold
    stop_at, _, times = config.get("stop_at", "").partition(":")
    left = int(times or 0)

    @app.agent(source)
    async def events(batch: Any) -> None:
        nonlocal failures
        marks.add(0, 1)
        await asyncio.sleep(config.get("wait_seconds", 0))
        if failures:
            failures -= 1
            marks.add(0, -1)
            raise TransientError("for this once")
        await table.fold(batch, counted)
        marks.add(0, -1)
        marks.add(2, 1)

    def stand_still(point: str) -> None:
        nonlocal left
        if point == "after-settle":
            marks.put(1, 1)
        elif point == "after-commit":
            marks.put(1, 0)
        if stretch := marks.read()[3]:
            time.sleep(stretch / 1e6)
        if point == stop_at:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGSTOP)

    killpoints.hook = stand_still

    @app.service
    async def answer_dumps() -> None:
        ask = Path(config["directory"]) / "ask"
        while True:
            await asyncio.sleep(0.05)
            if ask.exists():
                rows = await everything(table)
                ask.unlink()
                answer = Path(config["directory"]) / "rows.partial"
                answer.write_text(json.dumps(rows))
                answer.rename(answer.with_name("rows.json"))

    for name in config.get("sabotage", ()):
        sabotage.SABOTAGES[name](app, table)
    return app


async def everything(table: BatchTable[Any]) -> dict[str, Any]:
    """Rows of the partitions that are owned here, with their positions."""
    rows: dict[str, Any] = {}
    for partition in table.owned():
        async for found in table.scan(partition):
            for row in found:
                rows[row.key.decode()] = [row.data, sorted(row.positions.items())]
    return rows


def main(config: dict[str, Any]) -> None:
    """Run until a signal, or a fault."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    build(config, Marks(Path(config["directory"]) / "marks")).run()
