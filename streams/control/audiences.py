"""What the export's topics hold, read from outside of the workers: its audiences, jobs and rows."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from streams.export.lists.shared_state import SharedState
from streams.export.recovery.reconcile import Progress, newest, removals_due, snapshot_rows
from streams.export.rules.jobs import AudienceNames
from streams.export.rules.row import MembershipRow
from streams.export.settings import ExportSettings
from streams.export.state import ExportState


class SeenAudience(NamedTuple):
    """An audience that upstream has named, and how many people are in it now."""

    audience: str
    name: str
    people: int


class SeenUpstream(NamedTuple):
    """What upstream has sent so far, as a form offers it."""

    audiences: list[SeenAudience]
    """By id."""
    user_fields: list[str]
    """Names of the fields that people have, those of the most people first."""


def seen_upstream(kafka: KafkaSettings, progress: Progress = lambda _count: None) -> SeenUpstream:
    """Return audiences and fields, counting the people whose events the export worker has read. Blocks.

    Raises SnapshotError.
    """
    state, _ = _shared(kafka)
    people, fields = people_inside(row for _email, row in snapshot_rows(kafka, progress))
    audiences = [
        SeenAudience(audience, _name(state.names, audience), people[audience])
        for audience in sorted({*state.names, *people})
    ]
    return SeenUpstream(audiences, sorted(fields, key=lambda name: (-fields[name], name)))


def seen_audiences(kafka: KafkaSettings, progress: Progress = lambda _count: None) -> list[SeenAudience]:
    """Return the audiences of `seen_upstream`. Blocks. Raises SnapshotError."""
    return seen_upstream(kafka, progress).audiences


def people_inside(rows: Iterable[MembershipRow]) -> tuple[Counter[str], Counter[str]]:
    """Return how many people are in each audience, and have each field (pure).

    An audience that everybody has left counts 0, and so does a field that was cleared for everybody.
    """
    people: Counter[str] = Counter()
    fields: Counter[str] = Counter()
    for row in rows:
        people.update({audience: entry.inside for audience, entry in row.audiences.items()})
        fields.update({name: value is not None for name, (value, _at) in row.fields.items()})
    return people, fields


def removals_waiting(kafka: KafkaSettings, exports: Iterable[ExportJob], job: ExportJob) -> int:
    """Return how many people wait to be taken off a job's list, as the changelog has them now. Blocks.

    Raises SnapshotError.
    """
    state, _shared = export_state(kafka, exports, job)
    return removals_due(snapshot_rows(kafka), state.exports.lists[job.list_id], state.names)


def export_state(kafka: KafkaSettings, exports: Iterable[ExportJob], job: ExportJob) -> tuple[ExportState, SharedState]:
    """Return what the workers share about a job's list, and its jobs. Blocks. Raises SnapshotError."""
    state, shared = _shared(kafka)
    shared.set_jobs(other for other in exports if other.list_id == job.list_id)
    return state, shared


def audience_names(kafka: KafkaSettings) -> AudienceNames:
    """Return the names of audiences as the workers share them. Blocks. Raises SnapshotError."""
    return _shared(kafka)[0].names


def _shared(kafka: KafkaSettings) -> tuple[ExportState, SharedState]:
    """Read what the workers share. Blocks. Raises SnapshotError."""
    state = ExportState(names=AudienceNames(units=ExportSettings().value_units))
    shared = SharedState(kafka.names()["cm_export-state"], _NoPublisher(), state)
    for part in newest(kafka, kafka.names()["cm_export-state"]):
        for key, value in part.items():
            shared.merge(key, value)
    return state, shared


def _name(names: AudienceNames, audience: str) -> str:
    entry = names.get(audience)
    return audience if entry is None else entry.name


class _NoPublisher:
    """A preview publishes nothing."""

    async def publish_all(self, outputs: Any) -> None:
        """Refuse."""
        raise RuntimeError("a plan writes nothing")
