"""Rows as JSON that were shown before: a load generator that is asked for them again must not be what is measured."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import orjson


class EncodedRows:
    """Keeps the newest `limit` rows or so, encoded; with 0, nothing. What it keeps is part of the process's memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._kept: dict[Hashable, tuple[Hashable, dict[int, orjson.Fragment]]] = {}

    def of(
        self, source: Hashable, version: Hashable, numbers: Sequence[int], encode: Callable[[int], Any]
    ) -> list[Any]:
        """Return rows of a source as `orjson.dumps` takes them.

        `version`: another one for each state of the source in which rows may look different; `numbers`: which rows;
        `encode`: returns the row of a number.
        """
        if not self._limit:
            return [encode(number) for number in numbers]
        if self._count > self._limit:
            self._kept.clear()
            self._count = 0
        kept_version, kept = self._kept.get(source, (None, {}))
        if kept_version != version:
            kept = {}
            self._kept[source] = version, kept
        shown = []
        for number in numbers:
            row = kept.get(number)
            if row is None:
                row = kept[number] = orjson.Fragment(orjson.dumps(encode(number)))
                self._count += 1
            shown.append(row)
        return shown
