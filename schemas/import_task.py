"""Topics `cm_import_tasks` and `cm_import_progress`: requests to the import, what it has to read, and how far it is.

A chain is one resource that is read page by page: a state of a list, a report of a campaign. A task is one step of it.
The progress of a chain holds the task to go on with, and is published in one transaction with the rows before it.
Dates of rows in them are instants in UTC, to the minute at least: the client may choose another time zone.
`cm_import_tasks` holds what others ask for: a run at once, the events that a webhook missed.
Both topics are internal to the connector, but people watch the progress, so its words are chosen for them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, RootModel

from schemas.envelope import Contract, Instant

State = Literal["active", "unconfirmed", "unsubscribed", "bounced", "deleted"]
Report = Literal["recipients", "opens", "clicks", "unsubscribes", "spam", "bounces"]


class Published(Contract):
    """What another read has published, an earlier, narrower one or one of another job."""

    lists: list[str] = Field(default_factory=list, description="Rows of these lists; none = all.")
    since: str | None = Field(default=None, description="Rows from this minute on.")
    before: str | None = Field(default=None, description="All rows before this minute.")
    known: str = Field(default="", description="Packed ids of the rows after it.")
    lacks: str = Field(default="", description="Packed ids of rows that came late and were left out since then.")


class Source(Contract):
    """What a chain reads, and what its rows do not hold themselves."""

    resource: Literal["users", "suppression", "report", "journey_report"]
    client_id: str
    client_name: str = ""
    time_zone: str = Field(description="The client's label; dates in rows are local to it.")
    list_id: str | None = Field(default=None, description="users: the list; journey_report: the journey's list.")
    list_name: str | None = None
    state: State | None = Field(default=None, description="users: which listing.")
    report: Report | None = None
    campaign_id: str | None = None
    campaign_name: str | None = None
    sent_date: str | None = Field(default=None, description="recipients have no date of their own: the campaign's.")
    list_names: dict[str, str] = Field(
        default_factory=dict, description="report: names of the campaign's lists, by id."
    )
    lists: list[str] = Field(
        default_factory=list, description="report, suppression: lists whose rows or people count; none = all."
    )
    journey_id: str | None = None
    journey_name: str | None = None
    email_id: str | None = None
    email_name: str | None = None
    since: str | None = Field(default=None, description="Rows before this minute are left out.")
    published: list[Published] = Field(
        default_factory=list, description="The job asks for more than it did: the latest read comes first."
    )
    read_counts: bool = Field(default=False, description="published: its rows were counted from the same date on.")
    earlier: list[Published] = Field(
        default_factory=list,
        description="What was published beyond `lists` and `since`: the job asked for more.",
    )
    elsewhere: list[Published] = Field(
        default_factory=list, description="What other jobs have published, also removed ones: here it is a repeat."
    )
    read_since: str | None = Field(default=None, description="by date: read from here on; at most `since`.")
    again: bool = Field(default=False, description="Read again on request: all rows are published, as repeats.")
    unreported_before: str | None = Field(
        default=None, description="users: unsubscribes before this minute that no report holds become activity."
    )
    gap: bool = Field(default=False, description="users: fills the gap of a webhook, so it writes activity as well.")
    repeats_before: str | None = Field(
        default=None, description="gap: the webhook worked until this minute, so events before it are repeats."
    )


class Border(Contract):
    """A page that was read before the chain above it began; that chain reads down until it meets it."""

    date: str = Field(description="Date of its first row.")
    last: str = Field(description="Date of its last row.")
    ids: str = Field(description="Ids of its rows, packed.")
    page: int


class LateRows(Contract):
    """The search for rows of a report that came later than the overlap reaches back: the report is read twice."""

    phase: Literal["compare", "publish"] = "compare"
    until: str | None = Field(default=None, description="From this minute on all rows are known.")
    known: str = Field(default="", description="Packed ids of these.")
    newest_date: str | None = None
    seen: str = Field(default="", description="Sketch of the ids that the report holds.")
    rows: int = Field(default=0, description="Their number.")
    missing: str = Field(default="", description="publish: packed ids that were not accounted for.")
    unreadable: bool = Field(default=False, description="publish: too many to be named, so all are published.")
    widened: int = Field(default=0, description="Rows that this read publishes though an earlier one counted them.")
    left_out: str = Field(default="", description="publish: packed ids of those that the job does not ask for.")


class Cursor(Contract):
    """How far a chain is. Packed ids are base64 of six bytes each, the beginning of an event id."""

    phase: Literal["probe", "first", "borders", "down", "forward"] = "first"
    page: int = Field(default=1, ge=1)
    anchor: str | None = Field(default=None, description="From here on rows are asked for.")
    total: int | None = Field(default=None, description="Rows that the answer before named.")
    known_from: str | None = Field(default=None, description="Rows before this minute are known.")
    known: str = Field(default="", description="Packed ids of rows from `known_from` on that are known too.")
    minute: str | None = Field(default=None, description="by date: from where rows equal to the last one are counted.")
    minute_ids: str = Field(default="", description="by date: packed ids of the rows since then.")
    clock: str = Field(
        default="", description="by date: where a stretch of repeated hours begins, and what clocks showed last."
    )
    previous: str = Field(default="", description="Packed ids of the page that was read last.")
    low: int = Field(default=1, description="down: the lowest page of this chain's range.")
    border: Border | None = None
    borders: list[int] = Field(default_factory=list, description="Pages at which the read is still to be divided.")
    pages: int = Field(default=0, description="Pages of this read, as the first answer named them.")
    newest: str = Field(default="", description="Packed (minute, id) of the newest rows, for the next run.")
    newest_date: str | None = None
    newest_cut: str | None = Field(default=None, description="Newest minute that `newest` does not hold whole.")
    floor: str | None = Field(default=None, description="Where this read began: nothing before it was read.")
    accounted: int = Field(default=0, description="Rows that earlier runs have published or left out.")
    expected: int | None = Field(default=None, description="Rows that the report holds now, by a probe.")
    parts: int = Field(default=0, description="borders: chains that were divided off so far.")
    divided: bool = Field(default=False, description="down: not the chain that reads the newest rows.")
    sketch: str = Field(
        default="", description="Sketch of what is accounted for. report: ids of all rows; suppression: addresses."
    )
    acts: str = Field(default="", description="unsubscribes: packed ids of all rows that are accounted for.")
    whole: bool = Field(default=False, description="suppression: read to the first page, whatever is known.")
    seen: str = Field(default="", description="suppression, whole: sketch of the addresses that it has read.")
    last_seen: Instant | None = Field(
        default=None, description="suppression: when all addresses of `sketch` were on the list."
    )
    widened: int = Field(default=0, description="by date: rows published that an earlier read has counted.")
    late: LateRows | None = Field(default=None, description="report: rows came later than the overlap.")


class Tally(Contract):
    """What a chain has done so far in this run."""

    pages: int = Field(default=0, description="Pages read.")
    pages_total: int | None = None
    rows: int = Field(default=0, description="Rows published.")
    rows_total: int | None = None
    repeats: int = Field(default=0, description="Rows that were known and not published again.")
    left_out: int = Field(default=0, description="Rows of other lists, or too old.")
    restarts: int = Field(default=0, description="Pages read again because rows had moved.")


class ImportTask(Contract):
    """One step. Its key is the chain, its partition stays the same for the whole chain."""

    job_id: str
    run: int = Field(ge=0)
    chain: str = Field(description="Names what is read, within the job.")
    step: int = Field(default=0, ge=0)
    kind: Literal["start", "discover", "campaign", "journey", "gap", "read"]
    attempt: int = Field(default=0, ge=0, description="Failures of this step so far.")
    full: bool = Field(default=False, description="Read everything again, whatever is known.")
    sweep: bool = Field(default=False, description="discover: only what changed on the lists during a full read.")
    page: int = Field(default=1, description="discover: page of the sent campaigns.")
    list_ids: list[str] = Field(default_factory=list, description="gap and sweep: the lists.")
    client_id: str | None = Field(default=None, description="gap: the client that has the list.")
    states: list[str] = Field(default_factory=list, description="gap: the listings to read; none = all.")
    tried: list[str] = Field(
        default_factory=list, description="gap, and its reads: authorizations with which it could not be read."
    )
    since: str | None = Field(
        default=None, description="gap, and its reads: RFC 3339, when the hook was last seen to work."
    )
    label: str = Field(default="", description="Display name of the chain.")
    group: str = Field(default="", description="The list or campaign that it belongs to.")
    started_at: Instant
    tally: Tally = Tally()
    page_size: int = Field(default=1000, description="read: rows a page; page numbers mean nothing without it.")
    source: Source | None = None
    cursor: Cursor | None = None


class RunProgress(Contract):
    """An import job's run. Key `run:{job}`."""

    kind: Literal["run"] = "run"
    job_id: str
    run: int
    state: Literal["open", "done", "incomplete"] = Field(description="incomplete: ended, and some was not read.")
    swept_at: Instant | None = Field(
        default=None, description="Since when changes are read that happened during a full read."
    )
    full: bool = False
    full_read: int = Field(default=0, description="The job's `full_read` that this run answers.")
    requested: bool = Field(default=False, description="A person asked for the next run at once.")
    planned_at: Instant = Field(description="When it was to begin; the next one is planned from here, without drift.")
    started_at: Instant
    finished_at: Instant | None = None
    next_at: Instant | None = Field(default=None, description="When the next run begins; none = not planned.")
    rows: int = Field(default=0, description="Rows that the run published.")
    problems: int = Field(default=0, description="Chains that could not be read.")


class ChainProgress(Contract):
    """One chain of the last run that read it. Key `chain:{job}:{chain}`."""

    kind: Literal["chain"] = "chain"
    job_id: str
    run: int
    chain: str
    step: int = 0
    label: str = Field(default="", description="Display name.")
    group: str = Field(default="", description="The list or campaign that it belongs to.")
    full: bool = Field(default=False, description="Nothing was known before.")
    state: Literal["open", "parked", "done", "failed"] = "open"
    tally: Tally = Tally()
    problem: str | None = Field(default=None, description="Why it waits or failed, in a sentence.")
    retry_at: Instant | None = None
    task: ImportTask | None = Field(default=None, description="The step to go on with; none once it is done.")
    started_at: Instant
    updated_at: Instant


class Mark(Contract):
    """What a finished read leaves for the next one. Key `mark:{job}:{chain}`; `removed:{job}:{chain}` of a removed job.

    So a job that is created again under the same id replaces nothing.
    """

    kind: Literal["mark"] = "mark"
    job_id: str
    run: int
    chain: str
    known_from: str | None = None
    known: str = ""
    newest_date: str | None = None
    accounted: int = Field(default=0, description="report: rows published or left out until now.")
    sketch: str = Field(
        default="", description="report: sketch of the ids of these rows; suppression: of the addresses on the list."
    )
    acts: str = Field(default="", description="unsubscribes: packed ids of these rows.")
    counts: dict[str, int] = Field(default_factory=dict, description="The summary that was seen before reading.")
    list_names: dict[str, str] = Field(default_factory=dict, description="campaign: the lists it was sent to.")
    checked_at: Instant | None = None
    lists: list[str] = Field(default_factory=list, description="It was read for these lists; none = all.")
    since: str | None = Field(default=None, description="It was read from this minute on.")
    read_since: str | None = Field(default=None, description="report: its rows were counted from here on.")
    earlier: list[Published] = Field(
        default_factory=list,
        description="What was published beyond `lists` and `since`: the job asked for more.",
    )
    activities: list[str] = Field(default_factory=list, description="campaign, journey: what was looked for.")
    removed: bool = Field(
        default=False, description="Its job was removed: what it published is a repeat when another job reads it."
    )


class Claim(Contract):
    """Who works on a task partition. Its writer reads it back, and has then read all before it. Key `claim:{p}`."""

    kind: Literal["claim"] = "claim"
    partition: int
    owner: str
    at: Instant


class ImportProgress(RootModel[Annotated[RunProgress | ChainProgress | Mark | Claim, Field(discriminator="kind")]]):
    """A record of `cm_import_progress`: a run, a chain, a mark or a claim."""

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read one record. Raises pydantic's ValidationError, also when the bytes are no JSON."""
        return cls.model_validate_json(value)

    def to_bytes(self) -> bytes:
        """Write the record as JSON in UTF-8."""
        return self.root.to_bytes()


def key_of(record: RunProgress | ChainProgress | Mark | Claim) -> bytes:
    """Return the key of a progress record."""
    match record:
        case RunProgress():
            return run_key(record.job_id)
        case ChainProgress():
            return f"chain:{record.job_id}:{record.chain}".encode()
        case Mark(removed=True):
            return f"removed:{record.job_id}:{record.chain}".encode()
        case Mark():
            return f"mark:{record.job_id}:{record.chain}".encode()
        case Claim():
            return f"claim:{record.partition}".encode()


def run_key(job_id: str) -> bytes:
    """Return the key of a job's run."""
    return f"run:{job_id}".encode()
