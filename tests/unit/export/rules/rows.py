"""Short ways to write rows, jobs and events of the rules' tables."""

from datetime import UTC, datetime
from typing import Any

from schemas.control import ExportJob
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.jobs import AudienceNames, Exports, ListView, compile_exports
from streams.export.rules.membership import MembershipEvent, RankedChange
from streams.export.rules.row import ENTER, AudienceEntry, DeliveredPart, Held, MembershipRow

EMAIL = "ann@example.com"
LIST = "list-1"
STARTED = 1_000
"""Event time, in milliseconds, at which the jobs of the tables begin."""


def job(job_id: str = "job-1", **options: Any) -> ExportJob:
    """Return a job that began at `STARTED`."""
    created = options.pop("created", 0)
    values: dict[str, Any] = {
        "id": job_id,
        "authorization_id": "auth-1",
        "client_id": "client-1",
        "list_id": LIST,
        "created_at": datetime.fromtimestamp(created, UTC),
        "updated_at": datetime.fromtimestamp(created, UTC),
        "started_at": datetime.fromtimestamp(STARTED / 1000, UTC),
        **options,
    }
    return ExportJob(**values)


def exports(*jobs: ExportJob) -> Exports:
    """Return the compiled jobs, without any audience's name."""
    return compile_exports(jobs or [job()], AudienceNames(), {})


def listed(*jobs: ExportJob) -> ListView:
    """Return the one list of these jobs."""
    return exports(*jobs).lists[LIST]


def entry(rank: int = ENTER, at: int = 2_000, position: int = 5) -> AudienceEntry:
    """Return what is known of one audience."""
    return AudienceEntry(rank, at, position, at, at, at)


def row(audiences: dict[str, AudienceEntry] | None = None, **values: Any) -> MembershipRow:
    """Return a row with these audiences."""
    return MembershipRow(audiences or {}, **values)


def held(**values: Any) -> Held:
    """Return what a list holds; by default an accepted subscriber of job-1 in audience vip, as of position 5."""
    defaults: dict[str, Any] = {
        "delivered": {"job-1": DeliveredPart("digest", 5, exported=True)},
        "address": EMAIL,
        "audiences": ["vip"],
        "seen": 5,
        "digest": "written",
    }
    return Held(**{**defaults, **values})


def desired(**values: Any) -> DesiredSubscriber:
    """Return a desired subscriber; by default job-1 exports Ann into vip, with a digest that was not delivered."""
    defaults: dict[str, Any] = {
        "address": EMAIL,
        "refused": None,
        "present": True,
        "audiences": ("vip",),
        "digests": {"job-1": "new"},
    }
    return DesiredSubscriber(**{**defaults, **values})


def event(
    *changes: tuple[str, int, int],
    snapshot: set[str] | None = None,
    at: int = 3_000,
    position: int = 9,
    **fields: Any,
) -> MembershipEvent:
    """Return an event of (audience, rank, time) changes, or a snapshot."""
    named = frozenset(snapshot) if snapshot is not None else None
    ranked = tuple(RankedChange(*change) for change in changes)
    return MembershipEvent(EMAIL, at, ranked, named, fields, (), position, at)
