"""Dead letters: counted by topic and reason, found, shown with their bytes, replayed, discarded with a reason."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import orjson
import structlog
from aiohttp import web

from streams.console.context import Console, Route, Visit, go_to
from streams.control.letters import (
    MAX_WHY,
    LetterCount,
    PlaceError,
    choice,
    counted,
    discard_recorded,
    found_letters,
    input_topics,
    letter_at,
    own_headers,
    replay_recorded,
    shown,
    topic_named,
    without_addresses,
)

log = structlog.get_logger(__name__)

COUNT_SECONDS = 10.0
"""How old counts may be: counting reads all letters that wait."""
PAGE = 50
"""Letters on a page."""
MAX_GROUPS = 200
"""Reasons that quote their record are many; those with the most letters are shown."""
SHOWN_BYTES = 100_000
"""Of a value: more than a page that people read."""


class Filters(NamedTuple):
    """Which letters of a topic are meant; empty: all that wait."""

    topic: str
    stage: str = ""
    reason: str = ""
    text: str = ""
    done: str = ""
    """`yes`: also those that were replayed or discarded."""

    @property
    def query(self) -> str:
        """The filters as a query."""
        return urlencode({name: value for name, value in self._asdict().items() if value})

    @property
    def options(self) -> dict[str, str | None]:
        """What `choice` takes of them."""
        return {"reason": self.reason or None, "stage": self.stage or None, "text": self.text or None}


async def counts_of(console: Console) -> Sequence[LetterCount]:
    """Return the letters that wait by topic, stage and reason, the most first; of a moment ago.

    Raises ReadError, ReplayError, TimeoutError.
    """

    async def read() -> list[LetterCount]:
        topics = input_topics(console.kafka)
        return await console.reads.of(lambda: [group for topic in topics for group in counted(console.kafka, topic)])

    found = await console.recent.get(("dead letters",), read, COUNT_SECONDS)
    return sorted(found, key=lambda group: (-group.letters, group))


async def show_all(visit: Visit) -> web.StreamResponse:
    """Show the letters of a topic that are meant; without a topic what waits on each."""
    filters = Filters(*(visit.asked(name) for name in Filters._fields))
    if filters.topic:
        return await _listed(visit, filters)
    groups = await counts_of(visit.console)
    links = [(group, Filters(group.topic, group.stage, group.reason).query) for group in groups[:MAX_GROUPS]]
    left_out = len(groups) - len(links)
    topics = input_topics(visit.console.kafka)
    return visit.page("dead_letters.html", filters=filters, groups=links, topics=topics, left_out=left_out)


async def show_one(visit: Visit) -> web.StreamResponse:
    """Show one letter: what is wrong, key, value, headers and bytes."""
    kafka, place = visit.console.kafka, visit.asked("place")
    topic = topic_named(kafka, visit.asked("topic"))
    try:
        letter = await visit.console.reads.of(lambda: letter_at(kafka, topic, place))
    except PlaceError as fault:
        raise LookupError(f"{fault}.") from None
    if letter is None:
        raise LookupError(f"There is no dead letter {place} of {topic}, or it was refused again since.")
    value = letter.record.value
    return visit.page(
        "dead_letter.html",
        topic=topic,
        letter=letter,
        key=shown(letter.record.key),
        value=pretty(value),
        left_out=max(0, len(value or b"") - SHOWN_BYTES),
        hexadecimal=(value or b"")[:256].hex(" "),
        headers=own_headers(letter),
    )


async def change(visit: Visit) -> web.StreamResponse:
    """Replay or discard the letters that are checked, or all that the filters mean.

    The reason for a discard is logged, without addresses.
    """
    console, filters = visit.console, Filters(*(visit.text(name) for name in Filters._fields))
    act, _dash, which = visit.text("act").partition("-")
    places, why = visit.texts("place"), visit.text("why")
    if which == "chosen" and not places:
        return await _listed(visit, filters, 422, "Check letters first: none is chosen.")
    if act == "discard" and not 0 < len(why) <= MAX_WHY:
        fault = f"Write why they are discarded, in {MAX_WHY} characters at most: it is recorded."
        return await _listed(visit, filters, 422, fault)
    topic = topic_named(console.kafka, filters.topic)
    try:
        chosen = choice(places if which == "chosen" else (), **filters.options)
    except PlaceError as fault:
        return await _listed(visit, filters, 422, f"{fault}.")
    if act == "discard":
        sent, passed_over = 0, 0
        count = await discard_recorded(console.kafka, console.audit, topic, chosen, why)
        log.info("letters discarded", user=visit.me.user, topic=topic, letters=count, why=without_addresses(why))
    elif act == "replay":
        sent, passed_over = await replay_recorded(console.kafka, console.audit, topic, chosen)
        count = 0
        log.info("letters sent again", user=visit.me.user, topic=topic, letters=sent)
    else:
        return await _listed(visit, filters, 422, "There is no such button.")
    console.recent.forget()
    done = urlencode({"sent": sent, "passed_over": passed_over, "discarded": count})
    return go_to(f"/dead-letters?{filters.query}&{done}")


async def _listed(visit: Visit, filters: Filters, status: int = 200, fault: str = "") -> web.StreamResponse:
    """Show the letters of a topic that are meant, a page of them. Raises ReadError, ReplayError, TimeoutError."""
    kafka = visit.console.kafka
    topic, first = topic_named(kafka, filters.topic), _number(visit, "first")
    chosen = choice((), **filters.options)
    found = await visit.console.reads.of(
        lambda: found_letters(kafka, topic, chosen, first, PAGE, done=bool(filters.done))
    )
    done = {name: _number(visit, name) for name in ("sent", "passed_over", "discarded")}
    return visit.page(
        "dead_letters_of.html",
        status,
        filters=filters,
        topic=topic,
        found=[(letter, shown(letter.record.key) or "") for letter in found.letters],
        total=found.total,
        first=first,
        size=PAGE,
        done=done,
        faults=[fault] if fault else [],
        topics=input_topics(kafka),
    )


def _number(visit: Visit, name: str) -> int:
    text = visit.asked(name)
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def pretty(value: bytes | None) -> str:
    """Return a value as text, JSON with a line for each field (pure); what is beyond SHOWN_BYTES is left out."""
    if value is None:
        return ""
    if len(value) <= SHOWN_BYTES:
        try:
            return orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            pass
    return shown(value[:SHOWN_BYTES]) or ""


ROUTES = (
    Route("GET", "/dead-letters", "viewer", show_all),
    Route("GET", "/dead-letters/letter", "viewer", show_one),
    Route("POST", "/dead-letters", "operator", change),
)
