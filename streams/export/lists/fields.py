"""The custom fields of one list: created before values use them, and watched afterwards.

Campaign Monitor silently drops values of unknown fields and options. So before a request goes out its fields and
options exist, read from the list and not assumed; the list is read again while it is in use; and when a field or
option that existed is missing, everybody's values were deleted with it: that is published, and they are sent again.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import CustomField
from connectors.campaign_monitor.errors.exceptions import FieldRejected
from schemas.control import DataType
from streams.export.lists.shared_state import SharedState
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.values import field_name, option_text

log = structlog.get_logger(__name__)

SELECTS = frozenset({"MultiSelectOne", "MultiSelectMany"})
PLACEHOLDER = "-"
"""The only option of a select field that has none yet."""


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
            if (entry := names.get(audience)) is not None:
                need.options.add(option_text(entry.name))
    return fields


class ListFields:
    """Custom fields of one list, as last read."""

    def __init__(
        self,
        api: CampaignMonitor,
        list_id: str,
        shared: SharedState,
        *,
        check_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._list_id = list_id
        self._shared = shared
        self._check_seconds = check_seconds
        self._clock = clock
        self._fields: dict[str, CustomField] = {}
        self._options: dict[str, frozenset[str]] = {}
        self._known = set(shared.field_history(list_id).made)
        self.confirmed_opt_in = False
        """Whether who is added has to confirm it first, as last read."""
        self.honours_suppression = True
        """Whether the client's suppression list counts, as last read."""
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    def expire(self) -> None:
        """Read the list again before the next request."""
        self._read_at = float("-inf")

    def key_of(self, name: str) -> str | None:
        """Return a field's key, as last read."""
        known = self._fields.get(field_name(name))
        return None if known is None else known.key

    def options_of(self, name: str) -> frozenset[str]:
        """Return the options of a field, as last read."""
        return self._options.get(field_name(name), frozenset())

    async def ensure(self, needs: Mapping[str, FieldNeed]) -> dict[str, str]:
        """Return plain name -> key, once every field and option exists.

        Raises FieldTypeError, and what the calls raise (`CampaignMonitorError`).
        """
        if not self._sufficient(needs):
            async with self._lock:
                if not self._fresh():
                    await self._read()
                for plain, need in needs.items():
                    await self._provide(plain, need)
        return {plain: self._fields[plain].key for plain in needs}

    async def publish_created(self) -> None:
        """Publish which fields have existed, so that every worker notices when one of them is deleted."""
        await self._shared.fields_created(self._list_id, self._known)

    def _fresh(self) -> bool:
        return self._clock() - self._read_at < self._check_seconds

    def _sufficient(self, needs: Mapping[str, FieldNeed]) -> bool:
        if not self._fresh():
            return False
        for plain, need in needs.items():
            known = self._fields.get(plain)
            if known is None or known.data_type != need.data_type:
                return False
            if need.data_type in SELECTS and not need.options <= self._options[plain]:
                return False
        return True

    async def _read(self) -> None:
        now = self._clock()
        details = await self._api.lists.details(self._list_id)
        self.confirmed_opt_in, self.honours_suppression = details.confirmed_opt_in, details.honours_suppression
        found = await self._api.lists.custom_fields(self._list_id)
        before = self._options
        self._fields = {field_name(custom.name): custom for custom in found}
        self._options = {plain: frozenset(custom.options) for plain, custom in self._fields.items()}
        missing = sorted(self._known - self._fields.keys())
        dropped = {
            plain: sorted(options - self._options.get(plain, frozenset()))
            for plain, options in before.items()
            if plain in self._known and plain in self._fields and not options <= self._options[plain]
        }
        self._read_at = now
        if missing or dropped:
            self._known -= set(missing)
            log.warning("values lost", list_id=self._list_id, fields=missing, options=dropped)
            await self._shared.values_lost(self._list_id, self._known)

    async def _provide(self, plain: str, need: FieldNeed) -> None:
        known = self._fields.get(plain)
        if known is None:
            await self._create(plain, need)
            known = self._fields[plain]
        if known.data_type != need.data_type:
            raise FieldTypeError(
                f"the list's custom field {known.name!r} is {known.data_type}, the job needs {need.data_type}: "
                "name another field in the job, or change the field at Campaign Monitor"
            )
        missing = need.options - self._options[plain]
        if need.data_type in SELECTS and missing:
            await self._api.lists.update_custom_field_options(
                self._list_id, known.key, sorted(missing), keep_existing=True
            )
            self._options[plain] |= missing
            log.info("options added", list_id=self._list_id, field=known.name, options=len(missing))
        self._known.add(plain)

    async def _create(self, plain: str, need: FieldNeed) -> None:
        options = sorted(need.options) if need.data_type in SELECTS else []
        if need.data_type in SELECTS and not options:
            options = [PLACEHOLDER]  # a select field cannot be created without options (257)
        try:
            key = await self._api.lists.create_custom_field(self._list_id, need.name, need.data_type, options)
        except FieldRejected as refused:
            if refused.code != 255:
                raise
            await self._read()  # another worker was quicker, or two names give the same key
            if plain not in self._fields:
                raise
            return
        self._fields[plain] = CustomField(need.name, key, need.data_type, tuple(options))
        self._options[plain] = frozenset(options)
        log.info("custom field created", list_id=self._list_id, field=need.name, data_type=need.data_type)
