"""Overview: how records flow, the state of each job, what needs attention, and what repairs it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from connectors.control.authorizations import users_of
from connectors.control.jobs import ExportOrImportJob
from schemas.control import Authorization, Role
from streams.console.context import Console, Route, Visit
from streams.console.live.events import LivePart
from streams.console.live.plots import age_text, rate_text
from streams.console.pages.job_pages import state_of
from streams.control.flows import rates, reading_faults
from streams.control.job_repairs import Repair, repair_of
from streams.control.letters import LetterCount
from streams.export.rules.waiting import Undelivered

LATE_SECONDS = 60.0
"""A record that waits longer is shown as late; workers read within a second of a record."""


class Box(NamedTuple):
    """A box of the picture: what it is, and up to two lines about it."""

    name: str
    lines: list[str]
    late: bool = False


class Need(NamedTuple):
    """Something that a person has to do: why, and the link or the form that does it, for those who may."""

    text: str
    label: str
    path: str
    role: Role
    form: Mapping[str, str] | None = None
    """Fields to post; None: `path` is a link."""
    look: str = ""
    """Beside a form, the link that shows what it is about."""


async def show(visit: Visit) -> web.StreamResponse:
    """Show the flows, what needs attention, and all jobs."""
    console = visit.console
    console.collector.look()
    jobs = sorted(console.jobs.all().values(), key=lambda job: (job.attention is None, job.id))
    faults = reading_faults(console.collector.reading.lags) if console.collector.reading else []
    needs = [
        *account_needs(console.authorizations.all().values(), jobs),
        *job_needs(jobs, console.authorizations.all()),
        *place_needs(faults),
        *letter_needs(console.collector.letters or ()),
    ]
    shown = [(job, state_of(job)) for job in jobs]
    return visit.page("overview.html", needs=needs, jobs=shown, **live_values(console))


def live_values(console: Console) -> dict[str, Any]:
    """Return what the picture shows."""
    collector, names = console.collector, console.kafka.names()
    now, before = collector.reading, collector.before
    known = rates(before, now) if now and before else {}
    counts = collector.letters
    letters = None if counts is None else sum(group.letters for group in counts)

    def topic(*roles: str) -> Box:
        return Box(" + ".join(roles), [rate_text(sum(known[role] for role in roles)) if known else rate_text(None)])

    def worker(name: str, *roles: str) -> Box:
        if now is None:
            return Box(name, ["not known yet"])
        topics = [names[role] for role in roles]
        behind, since = now.lag(*topics), now.oldest(*topics)
        waits = "reads as it comes" if not behind else f"oldest waits {age_text(since and now.at - since)}"
        return Box(name, [f"{behind:,} behind", waits], since is not None and now.at - since > LATE_SECONDS)

    def lists() -> Box:
        waiting = now.undelivered if now else Undelivered()
        lines = [f"receipts {rate_text(known.get('audience-delivery'))}"]
        if now and waiting.since is None:
            lines.append("delivered as it is read")
        elif now and waiting.since is not None:
            lines.append(f"{waiting.people:,} wait, oldest {age_text(now.at - waiting.since)}")
        return Box(
            "Campaign Monitor lists", lines, bool(now and waiting.since and now.at - waiting.since > LATE_SECONDS)
        )

    flows = [
        [
            Box("upstream systems", ["change audiences"]),
            topic("audience-membership"),
            worker("export worker", "audience-membership"),
            lists(),
        ],
        [
            Box("Campaign Monitor", ["lists, reports, webhooks"]),
            topic("cm_user", "cm_activity"),
            worker("profile worker", "cm_user", "cm_activity"),
            topic("cm_profile"),
        ],
    ]
    return {"flows": flows, "letters": letters, "is_old": console.is_old, "is_known": now is not None}


def account_needs(found: Iterable[Authorization], jobs: Iterable[ExportOrImportJob]) -> Iterator[Need]:
    """Yield the authorizations that have ended (pure); a new log-in starts all of their jobs again."""
    for account in found:
        if account.problem:
            waiting = users_of(account.id, jobs)
            text = f"{account.description or account.id}: {account.problem}"
            if waiting:
                text += f" Waiting: {', '.join(waiting[:5])}{' and others' if len(waiting) > 5 else ''}."
            yield Need(text, "Log in again", f"/authorizations/{account.id}/login", "admin")


def job_needs(jobs: Iterable[ExportOrImportJob], accounts: Mapping[str, Authorization]) -> Iterator[Need]:
    """Yield the jobs that ask for a person (pure), where it is not their authorization's problem."""
    for job in jobs:
        account = accounts.get(job.authorization_id)
        if not job.attention or (account and account.problem):
            continue
        yield job_need(job, repair_of(job, account))


def job_need(job: ExportOrImportJob, repair: Repair) -> Need:
    """Return what a job asks for, and the click that makes this repair (pure)."""
    name, page = job.name or job.id, f"/jobs/{job.id}"
    text = f"{name}: {job.attention}"
    match repair:
        case "confirm":
            return Need(text, f"Confirm the removals of {name}", f"{page}/confirm-removals", "operator", {}, page)
        case "log in":
            return Need(text, "Log in again", f"/authorizations/{job.authorization_id}/login", "admin")
        case "edit":
            return Need(text, f"Edit {name}", f"{page}/edit", "operator")
        case "start":
            return Need(text, f"Start {name}", f"{page}/start", "operator", {}, page)
        case "run":
            return Need(text, f"Run {name} now", f"{page}/run", "operator", {}, page)
        case "look":
            return Need(text, f"Open {name}", page, "viewer")


def place_needs(faults: Iterable[tuple[str, str, str]]) -> Iterator[Need]:
    """Yield groups whose place is not in their topic (pure); their workers refuse to start."""
    for group, topic, note in faults:
        text = f"{group} at {topic}: {note}. Stop its workers, then `cm-streams reset {group} {topic}`."
        yield Need(text, "Show lag", "/lag", "viewer")


def letter_needs(groups: Iterable[LetterCount]) -> Iterator[Need]:
    """Yield the topics that have dead letters (pure), the most first."""
    topics: dict[str, int] = {}
    for group in groups:
        topics[group.topic] = topics.get(group.topic, 0) + group.letters
    for topic, letters in sorted(topics.items(), key=lambda found: (-found[1], found[0])):
        text = f"1 dead letter of {topic} waits." if letters == 1 else f"{letters:,} dead letters of {topic} wait."
        fields = {"topic": topic, "act": "replay-all"}
        yield Need(text, f"Replay all of {topic}", "/dead-letters", "operator", fields, "/dead-letters")


LIVE = LivePart("overview_live.html", live_values)
ROUTES = (
    Route("GET", "/overview", "viewer", show),
    Route("GET", "/overview/live", "viewer", LIVE.send),
)
