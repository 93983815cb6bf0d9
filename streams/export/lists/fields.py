"""The custom fields of one list: created before values use them, and watched afterwards.

Campaign Monitor silently drops values of unknown fields and options. So before a request goes out its fields and
options exist, read from the list and not assumed. The list is read at start and again while it is in use: when a field
or option was deleted, everybody's values were deleted with it (`rules/field_history.py`); that is published, and they
are sent again.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import CustomField
from connectors.campaign_monitor.errors.exceptions import FieldRejected
from schemas.control import DataType
from streams.export.lists.shared_state import SharedState
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.field_history import FieldMark, NeededOptions, losses, marks_of
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.values import field_name

log = structlog.get_logger(__name__)

SELECTS = frozenset({"MultiSelectOne", "MultiSelectMany"})
PLACEHOLDER = "-"
"""The only option of a select field that has none yet."""

PROVIDE_ATTEMPTS = 2
"""So often a field or option is created that is not there afterwards; then the list does not take it."""


class FieldTypeError(Exception):
    """A custom field of this name exists with another type: a person has to choose another name or type."""


@dataclass(slots=True)
class FieldNeed:
    """A custom field that a request uses, and the options of it."""

    name: str
    data_type: DataType
    options: set[str] = field(default_factory=set)


def needs_of(people: Iterable[DesiredSubscriber]) -> dict[str, FieldNeed]:
    """Return the fields that a request uses, by their plain name. Raises FieldTypeError when two uses disagree."""
    needs: dict[str, FieldNeed] = {}
    for desired in people:
        for name, options in desired.options:
            _need(needs, name, "MultiSelectMany").options.update(options)
        for value in desired.values:
            _need(needs, value.field, value.data_type).options.update(value.texts)
    return needs


def _need(needs: dict[str, FieldNeed], name: str, data_type: DataType) -> FieldNeed:
    plain = field_name(name)
    need = needs.get(plain)
    if need is None:
        need = needs[plain] = FieldNeed(name, data_type)
    elif need.data_type != data_type:
        raise FieldTypeError(f"the custom field {name!r} is used as {need.data_type} and as {data_type}")
    return need


def audience_fields(listed: ListView, names: AudienceNames) -> dict[str, FieldNeed]:
    """Return the audiences fields of a list, by plain name, with every option that its running jobs may use."""
    fields: dict[str, FieldNeed] = {}
    for view in listed.running:
        name = view.job.custom_field_name
        need = fields.setdefault(field_name(name), FieldNeed(name, "MultiSelectMany"))
        for audience in names if view.audiences is None else view.audiences:
            if names.get(audience) is not None:
                need.options.add(names.option_of(audience))
    return fields


def used_fields(listed: ListView, audiences: Mapping[str, FieldNeed]) -> dict[str, Collection[str] | None]:
    """Return the fields that a list's running jobs write, by plain name, and which of their options are in use.

    `audiences`: see `audience_fields`. None: any option may be in use, people's values are not known here.
    """
    mapped = (mapping.custom_field for view in listed.running for mapping in view.job.field_mappings)
    used: dict[str, Collection[str] | None] = dict.fromkeys(map(field_name, mapped))
    used.update({plain: need.options for plain, need in audiences.items()})
    return used


class ListFields:
    """Custom fields of one list, as last read, whichever authorization reads them: a loss is found once."""

    def __init__(
        self,
        list_id: str,
        shared: SharedState,
        *,
        check_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list_id = list_id
        self._shared = shared
        self._check_seconds = check_seconds
        self._clock = clock
        self._found: list[CustomField] = []
        self._fields: dict[str, CustomField] = {}
        self.confirmed_opt_in = False
        """Whether who is added has to confirm it first, as last read."""
        self.honours_suppression = True
        """Whether the client's suppression list counts, as last read."""
        self._not_taken: set[tuple[str, str]] = set()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    def expire(self) -> None:
        """Read the list again before the next request."""
        self._read_at = float("-inf")

    def key_of(self, name: str) -> str | None:
        """Return a field's key, as last read."""
        known = self._fields.get(field_name(name))
        return None if known is None else known.key

    def options_of(self, name: str) -> Collection[str]:
        """Return the options of a field, as last read."""
        known = self._fields.get(field_name(name))
        return () if known is None else known.options

    async def check(self, api: CampaignMonitor, used: NeededOptions) -> None:
        """Read the list, and compare its fields with what they were; a loss is published, by every worker's rows.

        Raises what the calls and publishing raise (`CampaignMonitorError`, `BatchError`).
        """
        async with self._lock:
            await self._check(api, used)

    async def ensure(self, api: CampaignMonitor, needs: Mapping[str, FieldNeed], used: NeededOptions) -> dict[str, str]:
        """Return plain name -> key, once every field and option exists.

        Raises FieldTypeError, and what the calls and publishing raise (`CampaignMonitorError`, `BatchError`).
        """
        if not self._fresh() or self._missing(needs):
            async with self._lock:
                if not self._fresh():
                    await self._check(api, used)
                await self._provide_all(api, needs, used)
        return {plain: self._fields[plain].key for plain in needs}

    async def _provide_all(self, api: CampaignMonitor, needs: Mapping[str, FieldNeed], used: NeededOptions) -> None:
        """Create what is missing. What is not there afterwards is created again: somebody may have removed it."""
        for _ in range(PROVIDE_ATTEMPTS):
            missing = self._missing(needs)
            if not missing:
                return
            for plain in missing:
                await self._provide(api, plain, needs[plain])
            await self._read_and_compare(api, used)
        self._note_not_taken(needs)

    def _fresh(self) -> bool:
        return self._clock() - self._read_at < self._check_seconds

    def _missing(self, needs: Mapping[str, FieldNeed]) -> list[str]:
        """Return the plain names of fields that do not exist, have another type, or lack an option."""
        missing: list[str] = []
        for plain, need in needs.items():
            known = self._fields.get(plain)
            if known is None or known.data_type != need.data_type or self._lacking(plain, need):
                missing.append(plain)
        return missing

    def _lacking(self, plain: str, need: FieldNeed) -> set[str]:
        if need.data_type not in SELECTS:
            return set()
        lacking = need.options.difference(self.options_of(plain))
        return {option for option in lacking if (plain, option) not in self._not_taken}

    def _note_not_taken(self, needs: Mapping[str, FieldNeed]) -> None:
        """Remember, until the next check, which options the list does not show: no use in adding them each time."""
        for plain, need in needs.items():
            if plain not in self._fields:
                raise FieldTypeError(f"the custom field {need.name!r} cannot be created: another one has the same key")
            if lacking := self._lacking(plain, need):
                log.error("options not taken", list_id=self._list_id, field=need.name, options=len(lacking))
                self._not_taken |= {(plain, option) for option in lacking}

    def _marks(self, used: NeededOptions) -> dict[str, FieldMark]:
        return marks_of(self._found, used.keys())

    async def _read(self, api: CampaignMonitor) -> None:
        now = self._clock()
        details = await api.lists.details(self._list_id)
        self.confirmed_opt_in, self.honours_suppression = details.confirmed_opt_in, details.honours_suppression
        self._found = await api.lists.custom_fields(self._list_id)
        self._fields = {field_name(custom.name): custom for custom in self._found}
        self._read_at = now

    async def _check(self, api: CampaignMonitor, used: NeededOptions) -> None:
        self._not_taken.clear()
        await self._read_and_compare(api, used)

    async def _read_and_compare(self, api: CampaignMonitor, used: NeededOptions) -> None:
        """Each read is compared before it is stored: the next one would not show any more what this one lacks."""
        await self._read(api)
        lost = losses(self._shared.field_history(self._list_id).fields, self._marks(used), used)
        if lost:  # by a read that began after the history was known: another worker may just have created it
            await self._read(api)
            lost = losses(self._shared.field_history(self._list_id).fields, self._marks(used), used)
        if lost:
            log.warning("values lost", list_id=self._list_id, fields=lost)
            await self._shared.values_lost(self._list_id, self._marks(used))
        else:
            await self._shared.fields_seen(self._list_id, self._marks(used))

    async def _provide(self, api: CampaignMonitor, plain: str, need: FieldNeed) -> None:
        known = self._fields.get(plain)
        if known is None:
            await self._create(api, need)
            return
        if known.data_type != need.data_type:
            raise FieldTypeError(
                f"the list's custom field {known.name!r} is {known.data_type}, the job needs {need.data_type}: "
                "name another field in the job, or change the field at Campaign Monitor"
            )
        lacking = sorted(self._lacking(plain, need))
        await api.lists.update_custom_field_options(self._list_id, known.key, lacking, keep_existing=True)
        log.info("options added", list_id=self._list_id, field=known.name, options=len(lacking))

    async def _create(self, api: CampaignMonitor, need: FieldNeed) -> None:
        options = sorted(need.options) if need.data_type in SELECTS else []
        if need.data_type in SELECTS and not options:
            options = [PLACEHOLDER]  # a select field cannot be created without options (257)
        try:
            await api.lists.create_custom_field(self._list_id, need.name, need.data_type, options)
        except FieldRejected as refused:
            if refused.code != 255:  # another worker was quicker, or two names give the same key
                raise
        else:
            log.info("custom field created", list_id=self._list_id, field=need.name, data_type=need.data_type)
