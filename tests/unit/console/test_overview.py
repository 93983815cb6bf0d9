"""What needs attention with what repairs it, and how often the collector reads."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, ImportJob
from streams.console.live import collector
from streams.console.live.collector import FlowCollector
from streams.console.pages.overview_page import job_needs
from streams.console.reads import Reads
from streams.control.flows import FlowReading
from streams.export.lists.attention import REMOVALS

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)
JOB: dict[str, Any] = {"authorization_id": "a", "client_id": "c", "created_at": NOW, "updated_at": NOW}
KAFKA = KafkaSettings(_env_file=None, bootstrap_servers="localhost:1")


def test_a_job_that_needs_a_person_has_the_click_that_repairs_it() -> None:
    export: dict[str, Any] = {**JOB, "list_id": "l", "started_at": NOW}
    needs = job_needs(
        [
            ExportJob(**export, id="e1", attention=f"12 removals. {REMOVALS}."),
            ExportJob(**export, id="e2", state="stopped", attention="stopped"),
            ExportJob(**export, id="e3", attention="the list is gone"),
            ImportJob(**JOB, id="i1", attention="failed"),
            ImportJob(**JOB, id="i2"),
        ],
        {},
    )
    assert [(need.path, need.role, need.form is not None) for need in needs] == [
        ("/jobs/e1/confirm-removals", "operator", True),
        ("/jobs/e2/start", "operator", True),
        ("/jobs/e3", "viewer", False),
        ("/jobs/i1/run", "operator", True),
    ]


class Reader:
    """Counts readings."""

    def __init__(self) -> None:
        self.readings = 0

    def read(self, now: float) -> FlowReading:
        """Nothing is behind."""
        self.readings += 1
        return FlowReading(now, {}, [], {})

    def letters(self) -> list[Any]:
        """None wait."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def test_dead_letters_are_not_said_to_be_none_before_they_are_counted() -> None:
    assert FlowCollector(KAFKA, Reads(), clock=lambda: 0.0).letters is None


async def test_nobody_looks_and_readings_are_rare_until_somebody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "READ_SECONDS", 0.01)
    monkeypatch.setattr(collector, "IDLE_SECONDS", 1_000.0)
    reader: Any = Reader()
    async with FlowCollector(KAFKA, Reads(), lambda: 100.0, reader) as collecting, asyncio.timeout(30):
        await collecting.change()
        await asyncio.sleep(0.2)
        assert reader.readings == 1
        collecting.look()
        while reader.readings < 4:
            await collecting.change()
