"""The custom fields and segments of one list: made before values use them, and watched afterwards.

Campaign Monitor drops values of unknown fields and options without a word. So before a request goes out its fields
and options are there, read from the list and not assumed; the list is read again while it is in use; and when a field
or option that had been there is gone, everybody's values went with it: `lost` is called, and they are sent again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import CustomField
from connectors.campaign_monitor.errors.exceptions import FieldRejected
from streams.delivery.writes import field_name
from streams.domain.desired import Wanted
from streams.domain.values import DataType

log = structlog.get_logger(__name__)

SELECTS = frozenset({"MultiSelectOne", "MultiSelectMany"})


class FieldTypeError(Exception):
    """A custom field of this name exists with another type: a person has to choose another name or type."""


@dataclass(slots=True)
class Need:
    """A custom field that a request uses, and the options of it."""

    name: str
    data_type: DataType
    options: set[str] = field(default_factory=set)


def needs_of(people: Iterable[Wanted]) -> dict[str, Need]:
    """Return the fields that a request uses, by their plain name. Raises FieldTypeError when two uses disagree."""
    needs: dict[str, Need] = {}
    for wanted in people:
        for name, options in wanted.options:
            _need(needs, name, "MultiSelectMany").options.update(options)
        for value in wanted.values:
            _need(needs, value.field, value.data_type).options.update(value.texts)
    return needs


def _need(needs: dict[str, Need], name: str, data_type: DataType) -> Need:
    plain = field_name(name)
    need = needs.get(plain)
    if need is None:
        need = needs[plain] = Need(name, data_type)
    elif need.data_type != data_type:
        raise FieldTypeError(f"the custom field {name!r} is used as {need.data_type} and as {data_type}")
    return need


Lost = Callable[[str], Awaitable[None]]
"""Told why, when values that had been written are gone."""


class ListFields:
    """Custom fields of one list, as last read."""

    def __init__(
        self,
        api: CampaignMonitor,
        list_id: str,
        *,
        check_seconds: float,
        made: Iterable[str] = (),
        lost: Lost,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`made`: plain names of the fields that some worker has found or made before."""
        self._api = api
        self._list_id = list_id
        self._check_seconds = check_seconds
        self._lost = lost
        self._clock = clock
        self._fields: dict[str, CustomField] = {}
        self._options: dict[str, frozenset[str]] = {}
        self._made = set(made)
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def made(self) -> frozenset[str]:
        """Plain names of all fields that are known to have been there."""
        return frozenset(self._made)

    def doubt(self) -> None:
        """Read the list again before the next request."""
        self._read_at = float("-inf")

    def key_of(self, name: str) -> str | None:
        """Return a field's key, as last read."""
        known = self._fields.get(field_name(name))
        return None if known is None else known.key

    def options_of(self, name: str) -> frozenset[str]:
        """Return the options of a field, as last read."""
        return self._options.get(field_name(name), frozenset())

    async def ensure(self, needs: Mapping[str, Need]) -> dict[str, str]:
        """Return plain name -> key, once every field and option is there.

        Raises FieldTypeError, and what the calls raise (`CampaignMonitorError`).
        """
        if not self._sufficient(needs):
            async with self._lock:
                if not self._fresh():
                    await self._read()
                for plain, need in needs.items():
                    await self._make(plain, need)
        return {plain: self._fields[plain].key for plain in needs}

    def _fresh(self) -> bool:
        return self._clock() - self._read_at < self._check_seconds

    def _sufficient(self, needs: Mapping[str, Need]) -> bool:
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
        found = await self._api.lists.custom_fields(self._list_id)
        before = self._options
        self._fields = {field_name(it.name): it for it in found}
        self._options = {plain: frozenset(it.options) for plain, it in self._fields.items()}
        gone = sorted(self._made - self._fields.keys())
        dropped = {
            plain: sorted(options - self._options.get(plain, frozenset()))
            for plain, options in before.items()
            if plain in self._made and plain in self._fields and not options <= self._options[plain]
        }
        self._read_at = now
        if gone or dropped:
            self._made -= set(gone)
            log.warning("values lost", list_id=self._list_id, fields=gone, options=dropped)
            await self._lost(f"fields {gone}, options {dropped}")

    async def _make(self, plain: str, need: Need) -> None:
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
        self._made.add(plain)

    async def _create(self, plain: str, need: Need) -> None:
        options = sorted(need.options) if need.data_type in SELECTS else []
        if need.data_type in SELECTS and not options:
            options = [PLACEHOLDER]  # a select field cannot be made without options (257)
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
        log.info("custom field made", list_id=self._list_id, field=need.name, data_type=need.data_type)


PLACEHOLDER = "-"
