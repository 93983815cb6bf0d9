"""The export jobs as fold and senders ask for them: which jobs an audience concerns, which jobs share a list."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from schemas.control import ExportJob
from streams.domain.catalogue import Catalogue
from streams.domain.rows import Millis
from streams.domain.values import option_text


@dataclass(frozen=True, slots=True)
class JobView:
    """An export job, resolved: its audiences by id, its start in milliseconds."""

    job: ExportJob
    audiences: frozenset[str] | None
    """None: all audiences."""
    started: Millis

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def running(self) -> bool:
        """Whether it sends. A stopped job keeps its place in the field that jobs share, but makes nothing due."""
        return self.job.state == "running"

    def exports(self, audience: str) -> bool:
        """Whether the audience is one of the job's."""
        return self.audiences is None or audience in self.audiences


@dataclass(frozen=True, slots=True)
class ListView:
    """The jobs of one list, oldest first, and how often its fields had to be made anew."""

    list_id: str
    jobs: tuple[JobView, ...]
    epoch: int
    """Raised when the list's field or options were lost at Campaign Monitor: everybody's values are then sent again."""
    revision: str
    """Changes with everything that can make rows due without an event: jobs, audiences' names, the epoch."""

    running: tuple[JobView, ...] = field(init=False)
    """The jobs that send."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "running", tuple(view for view in self.jobs if view.running))


@dataclass(frozen=True, slots=True)
class Exports:
    """All export jobs."""

    lists: Mapping[str, ListView] = field(default_factory=dict)
    everything: tuple[JobView, ...] = ()
    """Jobs that export every audience."""
    by_audience: Mapping[str, tuple[JobView, ...]] = field(default_factory=dict)
    """Jobs that name the audience; `everything` comes on top."""

    def of(self, audience: str) -> tuple[JobView, ...]:
        """Return the jobs that export an audience, stopped ones too: what they miss is sent when they start again."""
        named = self.by_audience.get(audience)
        return self.everything if named is None else named + self.everything

    def job(self, job_id: str) -> JobView | None:
        """Return a job by its id."""
        return next((view for it in self.lists.values() for view in it.jobs if view.id == job_id), None)


def compiled(jobs: Iterable[ExportJob], catalogue: Catalogue, epochs: Mapping[str, int]) -> Exports:
    """Return the view of these jobs. Cheap enough to be made anew whenever a job or an audience's name changes."""
    views: dict[str, list[JobView]] = {}
    for job in sorted(jobs, key=lambda it: (it.created_at, it.id)):
        audiences = catalogue.matching(job.audiences) if job.audiences else None
        view = JobView(job, audiences, int(job.started_at.timestamp() * 1000))
        views.setdefault(job.list_id, []).append(view)
    by_audience: dict[str, tuple[JobView, ...]] = {}
    everything: list[JobView] = []
    for shared in views.values():
        for view in shared:
            if view.audiences is None:
                everything.append(view)
            for audience in view.audiences or ():
                by_audience[audience] = (*by_audience.get(audience, ()), view)
    lists = {
        list_id: ListView(list_id, tuple(it), epochs.get(list_id, 0), _revision(it, catalogue, epochs.get(list_id, 0)))
        for list_id, it in views.items()
    }
    return Exports(lists, tuple(everything), by_audience)


# What a person's part depends on. Names, attention and the like may change without anything being sent again.
_SAYS = (
    "audiences", "existing_users", "resubscribe_users", "email_field", "name_field", "field_mappings",
    "consent_to_track", "custom_field_name", "on_last_exit", "update_only", "consent_rule", "started_at", "state",
)  # fmt: skip


def _revision(views: Iterable[JobView], catalogue: Catalogue, epoch: int) -> str:
    """Name the version; only renames of audiences count, not that an audience became known."""
    says = [
        [view.id, view.job.model_dump(mode="json", include=set(_SAYS)), _renamed_among(view, catalogue)]
        for view in views
    ]
    text = orjson.dumps([says, epoch], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _renamed_among(view: JobView, catalogue: Catalogue) -> list[list[str]]:
    renamed = []
    for audience in sorted(catalogue if view.audiences is None else view.audiences):
        entry = catalogue.get(audience)
        if entry is not None and entry.former:
            renamed.append([audience, option_text(entry.name)])
    return renamed
