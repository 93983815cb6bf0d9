"""Dead letters: counted, listed, shown, replayed, discarded."""

from functools import partial
from typing import Annotated

from pydantic import Field

from schemas.control import Role
from schemas.dead_letter import SUFFIX
from streams.console.api.operation import (
    ApiAnswer,
    Call,
    Operation,
    OperationHandler,
    PartQuery,
    RequestBody,
    RequestQuery,
)
from streams.console.api.paging import cursor_of, read_cursor
from streams.console.api.problems import ApiRefusal
from streams.control.letters import (
    MAX_WHY,
    FoundLetters,
    PlaceError,
    choice,
    counted,
    discard_recorded,
    found_letters,
    input_topics,
    letter_as_object,
    letter_at,
    replay_recorded,
    topic_named,
)
from streams.dead_letters.letters import Choice

Place = Annotated[str, Field(pattern=r"^[0-9]{1,9}:[0-9]{1,18}$")]


class LetterPlace(ApiAnswer):
    """Where a dead letter is."""

    topic: str
    partition: int
    offset: int


class LetterAnswer(ApiAnswer):
    """A dead letter; bytes that are no UTF-8 are replacement characters."""

    dead_letter: LetterPlace
    topic: str = Field(description="Where the record came from.")
    partition: int | None
    offset: int | None
    at: str
    stage: str
    reason: str
    times: int = Field(description="How often the record was refused.")
    first: str = Field(description="The first letter of the same record.")
    key: str | None
    value: str | None
    left_out_bytes: int | None = Field(description="Size of the value, where it was too large to be kept.")


class LettersAnswer(ApiAnswer):
    """Dead letters, oldest first within each partition."""

    items: list[LetterAnswer]
    next: str = Field(description="Cursor of the next page; empty on the last one.")
    total: int


class CountAnswer(ApiAnswer):
    """How many letters of a topic were refused at one stage for one reason."""

    topic: str
    stage: str
    reason: str
    letters: int
    times: int
    last_at: str


class CountsAnswer(ApiAnswer):
    """Dead letters by topic, stage and reason."""

    items: list[CountAnswer]


class CountQuery(RequestQuery):
    """Which letters are counted."""

    done: bool = Field(default=False, description="Also those that were replayed or discarded.")


class LettersQuery(PartQuery, CountQuery):
    """Which letters are listed."""

    reason: str = Field(default="", max_length=200, description="Only those whose reason holds this text.")
    stage: str = Field(default="", max_length=100, description="Only those that were refused at this stage.")


class LetterChoice(RequestBody):
    """Which letters: without any of these, all that wait."""

    places: list[Place] = Field(default_factory=list, max_length=1000)
    reason: str = Field(default="", max_length=200, description="Only those whose reason holds this text.")
    stage: str = Field(default="", max_length=100, description="Only those that were refused at this stage.")


class DiscardChoice(LetterChoice):
    """Which letters are discarded."""

    all: bool = Field(default=False, description="Has to be true where nothing else chooses.")
    why: str = Field(default="", max_length=MAX_WHY, description="It is recorded, without e-mail addresses.")


class ReplayAnswer(ApiAnswer):
    """What a replay did."""

    sent: int
    passed_over: int = Field(description="Their values were too large to be kept.")


class DiscardAnswer(ApiAnswer):
    """What was discarded."""

    discarded: int


async def count_letters(call: Call) -> CountsAnswer:
    """Count the letters that wait, on all topics: by topic, stage and reason."""
    kafka, done = call.console.kafka, call.asked(CountQuery).done
    topics = input_topics(kafka)
    groups = [await call.console.reads.of(partial(counted, kafka, topic, done=done)) for topic in topics]
    found = sorted(count for counts in groups for count in counts)
    return CountsAnswer(items=[CountAnswer(**group._asdict()) for group in found])


async def list_letters(call: Call) -> LettersAnswer:
    """List an input topic's letters that wait: where each came from, why it was refused, and how often."""
    query, topic = call.asked(LettersQuery), _topic(call)
    first = max(0, read_cursor(query.cursor, int)) if query.cursor else 0
    chosen = choice((), query.reason or None, query.stage or None)

    def read() -> FoundLetters:
        return found_letters(call.console.kafka, topic, chosen, first, query.limit, done=query.done)

    found = await call.console.reads.of(read)
    end = first + len(found.letters)
    return LettersAnswer(
        items=[LetterAnswer(**letter_as_object(letter)) for letter in found.letters],
        next=cursor_of(end) if found.letters and end < found.total else "",
        total=found.total,
    )


async def show_letter(call: Call) -> LetterAnswer:
    """Show one letter, done with or not, with its key and value."""
    topic, place = _topic(call), call.part("place")
    try:
        found = await call.console.reads.of(lambda: letter_at(call.console.kafka, topic, place))
    except PlaceError:
        found = None
    if found is None:
        raise ApiRefusal(404, f"There is no dead letter {place} of {topic}, or it was refused again since.")
    return LetterAnswer(**letter_as_object(found))


async def replay_letters(call: Call) -> ReplayAnswer:
    """Send letters to their input topic again, each once, oldest first: all that wait, or those that are chosen."""
    chosen = _chosen(call.sent(LetterChoice))
    done = await replay_recorded(call.console.kafka, call.console.audit, _topic(call), chosen)
    return ReplayAnswer(sent=done.sent, passed_over=done.passed_over)


async def discard_letters(call: Call) -> DiscardAnswer:
    """Be done with letters without sending them; they stay on the topic as long as it keeps them."""
    body = call.sent(DiscardChoice)
    if not (body.places or body.reason or body.stage or body.all):
        raise ApiRefusal(409, "Name places, a reason or a stage; or all, to discard all that wait.")
    kafka, audit = call.console.kafka, call.console.audit
    return DiscardAnswer(discarded=await discard_recorded(kafka, audit, _topic(call), _chosen(body), body.why))


def _chosen(body: LetterChoice) -> Choice:
    return choice(body.places, body.reason or None, body.stage or None)


def _topic(call: Call) -> str:
    """Return the input topic's name. Raises ApiRefusal for what no topic's name can be."""
    topic = topic_named(call.console.kafka, call.part("topic"))
    if len(topic + SUFFIX) > 249 or not all(
        letter.isascii() and (letter.isalnum() or letter in "._-") for letter in topic
    ):
        raise ApiRefusal(404, "There is no such topic.")
    return topic


def _operation(
    method: str,
    path: str,
    handle: OperationHandler,
    answer: type[ApiAnswer],
    query: type[RequestQuery] | None = None,
    body: type[RequestBody] | None = None,
) -> Operation:
    needs: Role = "viewer" if method == "GET" else "operator"
    path = f"/dead-letters{path}"
    return Operation(method=method, path=path, needs=needs, handle=handle, answer=answer, query=query, body=body)


OPERATIONS = (
    _operation("GET", "", count_letters, CountsAnswer, CountQuery),
    _operation("GET", "/{topic}", list_letters, LettersAnswer, LettersQuery),
    _operation("GET", "/{topic}/{place}", show_letter, LetterAnswer),
    _operation("POST", "/{topic}/replay", replay_letters, ReplayAnswer, body=LetterChoice),
    _operation("POST", "/{topic}/discard", discard_letters, DiscardAnswer, body=DiscardChoice),
)
