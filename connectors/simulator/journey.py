"""A journey of a list, and its e-mails with their reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.simulator.report import Report

if TYPE_CHECKING:
    from connectors.simulator.entities import SubscriberList


@dataclass(slots=True)
class JourneyEmail:
    """One mail of a journey."""

    email_id: str
    journey: Journey
    name: str
    links: list[str] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)

    def report(self, kind: str) -> Report:
        """Return a report, empty when nothing happened."""
        return self.reports.setdefault(kind, Report())


@dataclass(slots=True)
class Journey:
    """`status` is Not started, Active or Paused; `trigger` a text for people."""

    journey_id: str
    target: SubscriberList
    name: str
    trigger: str = "On Subscription"
    status: str = "Active"
    emails: list[JourneyEmail] = field(default_factory=list)
