"""The export jobs as the fold and the senders read them, and the names of the audiences that they export. Pure.

Names belong to the audience, not to the person: a changed name under the same id is a rename. So that one event
renames it for everybody, names are not kept in the rows but here, one entry for each audience; the latest by event
time wins.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from schemas.control import ExportJob
from schemas.envelope import EpochMillis
from streams.export.rules.values import Units, distinct_texts, option_text

ExitPolicy = Literal["keep", "unsubscribe", "delete"]
# Enough to find a segment under the name that it had when it was created; more would only be history.
FORMER_NAMES = 8


@dataclass(frozen=True, slots=True)
class AudienceName:
    """An audience's name, since when, and the names it had before (latest first)."""

    name: str
    at: EpochMillis
    former: tuple[str, ...] = ()


def renamed(known: AudienceName | None, name: str, at: EpochMillis) -> AudienceName | None:
    """Return the entry after an event with this name, or None when it changes nothing.

    At the same instant the greater name wins, so that every order of events ends with the same one.
    """
    if known is None:
        return AudienceName(name, at)
    if name == known.name or (at, name) < (known.at, known.name):
        return None
    former = tuple(dict.fromkeys((known.name, *(other for other in known.former if other != name))))
    return AudienceName(name, at, former[:FORMER_NAMES])


class AudienceNames:
    """The names of all audiences known so far, by id."""

    def __init__(self, entries: Mapping[str, AudienceName] | None = None, units: Units = "utf-16") -> None:
        self.units: Units = units
        """What the length of options and values counts."""
        self._entries = dict(entries or {})
        self._options: dict[str, str] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, audience: str) -> AudienceName | None:
        """Return an audience's entry, or None."""
        return self._entries.get(audience)

    def option_of(self, audience: str) -> str:
        """Return the audience's option, which no other audience has; of its id while no event has named it."""
        if self._options is None:
            self._options = distinct_texts({known: entry.name for known, entry in self._entries.items()}, self.units)
        known = self._options.get(audience)
        return option_text(audience, self.units) if known is None else known

    def merge(self, audience: str, entry: AudienceName) -> bool:
        """Keep an entry, unless ours is newer. True when anything changed."""
        known = self._entries.get(audience)
        if known is not None and (known.at, known.name) >= (entry.at, entry.name):
            return False
        self._entries[audience] = entry
        self._options = None
        return True

    def changes(self, names: Iterable[tuple[str, str, EpochMillis]]) -> dict[str, AudienceName]:
        """Return the entries that these (id, name, event time) would change; nothing is changed yet."""
        changed: dict[str, AudienceName] = {}
        for audience, name, at in names:
            entry = renamed(changed.get(audience) or self._entries.get(audience), name, at)
            if entry is not None:
                changed[audience] = entry
        return changed

    def matching(self, ids_or_names: Iterable[str]) -> frozenset[str]:
        """Return the ids that a job's list of ids and names refers to.

        An id that no event has mentioned refers to itself. A name refers to the audiences that have it now, and only
        when there are none, to those that had it before: so a rename does not take an audience out of a job.
        """
        ids: set[str] = set()
        for text in ids_or_names:
            current = {audience for audience, entry in self._entries.items() if entry.name == text}
            if text in self._entries or not current:
                ids.add(text)
            ids |= current or {audience for audience, entry in self._entries.items() if text in entry.former}
        return frozenset(ids)


@dataclass(frozen=True, slots=True)
class JobView:
    """An export job, resolved: its audiences by id, its start in milliseconds."""

    job: ExportJob
    audiences: frozenset[str] | None
    """None: all audiences."""
    started: EpochMillis
    units: Units = "utf-16"
    """What the length of a value counts."""

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


def exit_policy(exporters: Iterable[JobView]) -> ExitPolicy:
    """Return what follows for a subscriber of these jobs who leaves all of them: the mildest of their rules."""
    policies = {view.job.on_last_exit for view in exporters}
    if not policies or "keep" in policies:
        return "keep"
    return "unsubscribe" if "unsubscribe" in policies else "delete"


def calling(views: Iterable[JobView], blocked: Container[str], *, known: bool) -> str:
    """Return the authorization that makes the call for a person of these jobs, of which one runs: one that works.

    Who is not `known` to be on the list waits for a job that may add them, where one exports them: an update that finds
    nobody would settle the change for that job, too. Among equals the oldest job's.
    """
    running = [view for view in views if view.running]
    adding = [] if known else [view for view in running if not view.job.update_only]

    def order(view: JobView) -> tuple[bool, bool]:
        return view.job.authorization_id in blocked, view.job.update_only

    return min(adding or running, key=order).job.authorization_id


@dataclass(frozen=True, slots=True)
class ListView:
    """The jobs of one list, oldest first, and how often the values of its fields were lost."""

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

    def edited_since(self, before: "ListView") -> bool:
        """Whether a person changed a job: what the worker itself writes into jobs does not count."""
        return _without_our_fields(before) != _without_our_fields(self)


def _without_our_fields(listed: ListView) -> list[ExportJob]:
    return [view.job.model_copy(update={"attention": None, "updated_at": view.job.created_at}) for view in listed.jobs]


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

    def changed_lists(self, after: "Exports") -> list[str]:
        """Return the ids of the lists whose revision differs in `after`, or which only one of both has."""
        lists = self.lists.keys() | after.lists.keys()
        return [list_id for list_id in lists if self._revision_of(list_id) != after._revision_of(list_id)]

    def _revision_of(self, list_id: str) -> str | None:
        listed = self.lists.get(list_id)
        return None if listed is None else listed.revision


def compile_exports(jobs: Iterable[ExportJob], names: AudienceNames, epochs: Mapping[str, int]) -> Exports:
    """Return the view of these jobs. Cheap enough to be repeated whenever a job or an audience's name changes."""
    views: dict[str, list[JobView]] = {}
    for job in sorted(jobs, key=lambda job: (job.created_at, job.id)):
        audiences = names.matching(job.audiences) if job.audiences else None
        view = JobView(job, audiences, int(job.started_at.timestamp() * 1000), names.units)
        views.setdefault(job.list_id, []).append(view)
    by_audience: dict[str, tuple[JobView, ...]] = {}
    everything: list[JobView] = []
    for of_list in views.values():
        for view in of_list:
            if view.audiences is None:
                everything.append(view)
            for audience in view.audiences or ():
                by_audience[audience] = (*by_audience.get(audience, ()), view)
    lists: dict[str, ListView] = {}
    for list_id, of_list in views.items():
        epoch = epochs.get(list_id, 0)
        lists[list_id] = ListView(list_id, tuple(of_list), epoch, _revision(of_list, names, epoch))
    return Exports(lists, tuple(everything), by_audience)


# What a person's part depends on. Names, attention and the like may change without anything being sent again.
_CONTENT_FIELDS = (
    "audiences", "existing_users", "resubscribe_users", "email_field", "name_field", "field_mappings",
    "consent_to_track", "custom_field_name", "on_last_exit", "update_only", "consent_rule", "started_at", "state",
)  # fmt: skip


def _revision(views: Iterable[JobView], names: AudienceNames, epoch: int) -> str:
    """Hash what the version depends on; of names only changed options count, not that an audience became known."""
    content = [
        [view.id, view.job.model_dump(mode="json", include=set(_CONTENT_FIELDS)), _renamed_among(view, names)]
        for view in views
    ]
    text = orjson.dumps([content, epoch, names.units], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _renamed_among(view: JobView, names: AudienceNames) -> list[list[str]]:
    renamed_audiences = []
    for audience in sorted(names if view.audiences is None else view.audiences):
        entry = names.get(audience)
        if entry is not None and (entry.former or names.option_of(audience) != option_text(entry.name, names.units)):
            renamed_audiences.append([audience, names.option_of(audience)])
    return renamed_audiences
