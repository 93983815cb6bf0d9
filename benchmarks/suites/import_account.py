"""The account that imports read: its data, what reading all of it needs, and what the simulator itself can give."""

import base64
import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import local
from urllib.parse import urlsplit

from benchmarks.services import API_KEY, Account, simulator

SUITE = "import"
LATENCY_MS = 100.0
PAGE_ROWS = 1_000
ZONE = "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"
STATES = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
REPORTS = ("recipients", "opens", "clicks", "unsubscribes", "bounces", "spam")
_READERS = 16


@dataclass(frozen=True, slots=True)
class Size:
    """Of an account: one list and one campaign. The recipients' report has one row for each subscriber or so."""

    subscribers: int
    opens: int
    clicks: int


@dataclass(frozen=True, slots=True)
class Filled:
    """An account with data: how many rows each resource has by its own total."""

    account: Account
    client_id: str
    users: dict[str, int]
    """Path of a listing, with its query -> rows."""
    reports: dict[str, int]
    implied: int
    """Unsubscribes that no report holds: their listing is published as activity, too."""

    @property
    def activity(self) -> int:
        """How many activity records an import must publish."""
        return sum(self.reports.values()) + self.implied

    @property
    def records(self) -> int:
        """How many records an import must publish."""
        return sum(self.users.values()) + self.activity

    @property
    def pages(self) -> list[str]:
        """Every page that has to be read, without one more: an empty resource takes one, too."""
        totals = self.users | self.reports
        numbers = {path: range(1, max(1, -(-total // PAGE_ROWS)) + 1) for path, total in totals.items()}
        return [f"{path}&pagesize={PAGE_ROWS}&page={number}" for path in totals for number in numbers[path]]


@contextmanager
def filled(directory: Path, size: Size, latency_ms: float, *, keep: bool = True) -> Iterator[Filled]:
    """Start a simulator and fill it. `keep`: it has encoded every row before, so that answering costs it little."""
    rows = 3 * (size.subscribers + size.opens + size.clicks) if keep else 0
    with simulator(directory, latency_ms=0, keep_rows=rows) as account:
        client_id = account.do("add_client", name="Acme", zone_label=ZONE)
        list_id = account.do("add_list", client_id=client_id, title="Newsletter")
        account.do("add_field", list_id=list_id, name="City")
        account.do("seed_subscribers", list_id=list_id, count=size.subscribers)
        campaign_id = account.do(
            "add_campaign", list_ids=[list_id], name="Spring", opens=size.opens, clicks=size.clicks, bounces=100
        )
        preferences = "includetrackingpreference=true&includesmspreference=true"
        users = [f"/lists/{list_id}/{state}.json?orderfield=date&{preferences}" for state in STATES]
        users.append(f"/clients/{client_id}/suppressionlist.json?orderfield=date")
        reports = [f"/campaigns/{campaign_id}/{report}.json?orderfield=date" for report in REPORTS]
        reports[0] = reports[0].replace("date", "email")
        totals = {path: account.get(f"{path}&pagesize=10")["TotalNumberOfRecords"] for path in users + reports}
        it = Filled(
            account,
            client_id,
            {path: totals[path] for path in users},
            {path: totals[path] for path in reports},
            totals[users[STATES.index("unsubscribed")]],
        )
        if keep:
            read_pages(it, it.pages, _READERS)
        account.do("change_settings", latency_ms=latency_ms)
        yield it


def read_pages(it: Filled, paths: list[str], in_flight: int) -> float:
    """Read pages and look at nothing; return the seconds."""
    target = urlsplit(it.account.base_url)
    headers = {"Authorization": "Basic " + base64.b64encode(f"{API_KEY}:x".encode()).decode()}
    own = local()

    def read(path: str) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(target.hostname or "", target.port)
        own.connection.request("GET", target.path + path, headers=headers)
        answer = own.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"{path} was answered with {answer.status} {body[:80]!r}")

    began = time.perf_counter()
    with ThreadPoolExecutor(in_flight) as readers:
        list(readers.map(read, paths))
    return time.perf_counter() - began


def calls_made(account: Account) -> int:
    """Return how many pages were asked for since the simulator began."""
    calls: dict[str, int] = account.do("summary")["calls"]
    kinds = {*STATES, *REPORTS, "suppressionlist"}
    return sum(count for name, count in calls.items() if name.rpartition("/")[2] in kinds)
