"""What needs a person: why, and the one click that repairs it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from connectors.control.authorizations import users_of
from connectors.control.jobs import ExportOrImportJob
from schemas.control import Authorization, Role
from streams.control.job_repairs import Repair, repair_of
from streams.control.letters import LetterCount
from streams.export.rules.outcome import ANOTHER_LIST

MAX_NEEDS = 8
"""Jobs that are shown with their repair each; more, and nobody sees what is below them. A link leads to all."""


class Need(NamedTuple):
    """Something that a person has to do: why, and the link or the form that does it, for those who may."""

    name: str
    """What it is about; empty: the text says it."""
    text: str
    label: str
    path: str
    role: Role
    form: Mapping[str, str] | None = None
    """Fields to post; None: `path` is a link."""
    look: str = ""
    """Beside a form, the link that shows what it is about."""


def account_needs(found: Iterable[Authorization], jobs: Iterable[ExportOrImportJob]) -> Iterator[Need]:
    """Yield the authorizations that have ended; a new log-in starts all of their jobs again."""
    for account in found:
        if account.problem:
            name = account.description or account.id
            waiting = users_of(account.id, jobs)
            text = account.problem
            if waiting:
                text += f" Waiting: {', '.join(waiting[:5])}{' and others' if len(waiting) > 5 else ''}."
            yield Need(name, text, "Log in again", f"/authorizations/{quote(account.id)}/login", "admin")


def first_needs(needs: Sequence[Need]) -> list[Need]:
    """Return what is shown of jobs' needs; where there are many, the last one leads to all of them."""
    left = len(needs) - MAX_NEEDS
    if left <= 1:
        return [*needs]
    text = f"{left:,} more jobs need attention."
    return [*needs[:MAX_NEEDS], Need("", text, "Show all jobs that need attention", "/jobs?state=attention", "viewer")]


def job_needs(jobs: Iterable[ExportOrImportJob], accounts: Mapping[str, Authorization]) -> Iterator[Need]:
    """Yield the jobs that ask for a person, where it is not their authorization's problem."""
    for job in jobs:
        account = accounts.get(job.authorization_id)
        if not job.attention or (account and account.problem):
            continue
        yield job_need(job, repair_of(job, account))


def job_need(job: ExportOrImportJob, repair: Repair) -> Need:
    """Return what a job asks for, and the click that makes this repair."""
    name, page, text = job.name or job.id, page_of(job), job.attention or ""
    match repair:
        case "confirm":
            return Need(name, text, "Confirm the removals", f"{page}/confirm-removals", "operator", {}, page)
        case "log in":
            return Need(name, text, "Log in again", f"/authorizations/{quote(job.authorization_id)}/login", "admin")
        case "edit":
            label = "Choose another list" if ANOTHER_LIST in text else "Edit the job"
            return Need(name, text, label, f"{page}/edit", "operator")
        case "start":
            return Need(name, text, "Start the job", f"{page}/start", "operator", {}, page)
        case "run":
            return Need(name, text, "Run it now", f"{page}/run", "operator", {}, page)
        case "look":
            return Need(name, text, "Open the job", page, "viewer")


def page_of(job: ExportOrImportJob) -> str:
    """Return the address of a job's page."""
    return f"/jobs/{quote(job.id, safe='')}"


def need_of(job: ExportOrImportJob, account: Authorization | None) -> Need | None:
    """Return what repairs one job, for its own page; None when it asks for nothing, or a look at it is all."""
    if not job.attention:
        return None
    has_ended = account is not None and account.problem
    need = job_need(job, "log in" if has_ended else repair_of(job, account))
    return None if need.path == page_of(job) else need


def place_needs(faults: Iterable[tuple[str, str, str]]) -> Iterator[Need]:
    """Yield groups whose place is not in their topic; their workers refuse to start."""
    for group, topic, note in faults:
        text = f"{note}. Stop its workers, then `cm-streams reset {group} {topic}`."
        yield Need(f"{group} at {topic}", text, "Show lag", "/lag", "viewer")


def letter_needs(groups: Iterable[LetterCount]) -> Iterator[Need]:
    """Yield the topics that have dead letters, the most first."""
    topics: dict[str, int] = {}
    for group in groups:
        topics[group.topic] = topics.get(group.topic, 0) + group.letters
    for topic, letters in sorted(topics.items(), key=lambda found: (-found[1], found[0])):
        text = f"1 dead letter of {topic} waits." if letters == 1 else f"{letters:,} dead letters of {topic} wait."
        fields, look = {"topic": topic, "act": "replay-all"}, f"/dead-letters?topic={quote(topic)}"
        yield Need("", text, f"Replay all of {topic}", "/dead-letters", "operator", fields, look)
