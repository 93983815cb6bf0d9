"""Paged answers: what a caller may ask for, and the eight keys of the envelope."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from connectors.devkit.simulator.protocol.errors import SimulatedApiError

MIN_PAGE_SIZE, MAX_PAGE_SIZE = 10, 1_000


class PageRequest(NamedTuple):
    """A checked request; `page` counts from 1."""

    page: int
    size: int
    field: str
    descending: bool

    def window(self, total: int) -> tuple[int, int]:
        """Return the positions [start, stop) in ascending order that hold this page of `total` rows.

        For a descending page the rows of the window have to be reversed.
        """
        first = (self.page - 1) * self.size
        last = min(first + self.size, total)
        if first >= last:
            return 0, 0
        return (total - last, total - first) if self.descending else (first, last)


def read_page(
    query: Mapping[str, str], fields: Sequence[str], *, default: str | None = None, descending: bool = False
) -> PageRequest:
    """Check page, pagesize, orderfield and orderdirection of a query (names in lower case).

    Raises ApiError 800 to 803.
    """
    page = _whole(query.get("page", "") or "1")
    if page is None or page < 1:
        raise SimulatedApiError(800)
    size = _whole(query.get("pagesize", "") or str(MAX_PAGE_SIZE))
    if size is None or not MIN_PAGE_SIZE <= size <= MAX_PAGE_SIZE:
        raise SimulatedApiError(801)
    field = (query.get("orderfield", "") or default or fields[0]).lower()
    if field not in fields:
        raise SimulatedApiError(802)
    direction = (query.get("orderdirection", "") or ("desc" if descending else "asc")).lower()
    if direction not in ("asc", "desc"):
        raise SimulatedApiError(803)
    return PageRequest(page, size, field, direction == "desc")


def envelope(rows: list[Any], request: PageRequest, total: int, *, field: str = "", upper: bool = False) -> Any:
    """Return the answer for one page; `field` and `upper` give the spelling of the endpoint's family."""
    direction = "desc" if request.descending else "asc"
    return {
        "Results": rows,
        "ResultsOrderedBy": field or request.field,
        "OrderDirection": direction.upper() if upper else direction,
        "PageNumber": request.page,
        "PageSize": request.size,
        "RecordsOnThisPage": len(rows),
        "TotalNumberOfRecords": total,
        "NumberOfPages": -(-total // request.size),
    }


def _whole(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None
