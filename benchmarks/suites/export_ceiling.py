"""What the simulated Campaign Monitor itself can take: import calls made beforehand, and no worker."""

import base64
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local
from urllib.parse import urlsplit

import orjson

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.results import Result
from benchmarks.services import API_KEY
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import CALL_ROWS, LATENCY_MS, World, world

SIMULATOR = "the simulator alone"


def ceiling(bench: Bench, in_flight: int, events: int) -> Result:
    """Return the row of threads that post finished bodies: more than that nobody can get here."""
    bodies = [_body(first, min(CALL_ROWS, events - first)) for first in range(0, events, CALL_ROWS)]
    with world(bench, f"ceiling{in_flight}") as here:
        here.account.do("add_field", list_id=here.list_id, name="City")
        options = {"name": "Audiences", "data_type": "MultiSelectMany", "options": ["VIP"]}
        here.account.do("add_field", list_id=here.list_id, **options)
        seconds = _post_all(here, bodies, in_flight)
        if here.active() != events:
            raise WrongOutputError(f"{here.active():,} subscribers are Active, not {events:,}")
    rate = events / seconds
    return row(
        bench,
        f"backlog, {in_flight} in flight",
        system=SIMULATOR,
        guarantee="none: bodies made beforehand",
        events=events,
        events_per_s=round(rate, 1),
        limit_fraction=round(rate / (in_flight * CALL_ROWS * 1000 / LATENCY_MS), 3),
        checked="every person Active",
    )


def _body(first: int, count: int) -> bytes:
    fields = [{"Key": "[Audiences]", "Value": "VIP"}, {"Key": "[City]", "Value": "London"}]
    more = {"ConsentToTrack": "Unchanged", "Name": "Ada Lovelace", "CustomFields": fields}
    people = [{"EmailAddress": f"person{number}@example.com", **more} for number in range(first, first + count)]
    return orjson.dumps({"Subscribers": people, "Resubscribe": False})


def _post_all(here: World, bodies: list[bytes], in_flight: int) -> float:
    target = urlsplit(here.account.base_url)
    headers = {"Authorization": "Basic " + base64.b64encode(f"{API_KEY}:x".encode()).decode()}
    own = local()

    def post(body: bytes) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(target.hostname or "", target.port)
        own.connection.request("POST", f"{target.path}/subscribers/{here.list_id}/import.json", body, headers)
        answer = own.connection.getresponse()
        found = answer.read()
        if answer.status != 201:
            raise OSError(f"an import was answered with {answer.status} {found[:80]!r}")

    began = time.perf_counter()
    with ThreadPoolExecutor(in_flight) as senders:
        list(senders.map(post, bodies))
    return time.perf_counter() - began
