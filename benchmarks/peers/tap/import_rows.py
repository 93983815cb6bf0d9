"""Peer: tap-campaign-monitor (Singer), pointed at a simulated account. Runs in an environment of its own.

Arguments: base URL, client id, refresh token. Its rows go to standard output, as every tap's do.
"""

import json
import sys
import tempfile
from pathlib import Path

import requests
import singer

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from benchmarks.job import Stopwatch

BASE_URL, CLIENT_ID, REFRESH_TOKEN = sys.argv[1:]
REPORTS = ("recipients", "opens", "clicks", "unsubscribes", "bounces", "spam_complaints")
STATES = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
PARENTS = ("campaigns", "lists")
STREAMS = (*PARENTS, *(f"campaign_{name}" for name in REPORTS), *(f"list_{name}_subscribers" for name in STATES))
STOPWATCH = Stopwatch()
HOST = BASE_URL.removesuffix("/api/v3.3")
rows = 0

request, write_records = requests.request, singer.write_records


def here(method, url, **options):
    """Ask the simulated account in place of the real one. The tap knows version 3.2, where campaigns had no pages."""
    answer = request(method, url.replace("https://api.createsend.com", HOST), **options)
    if url.endswith("/campaigns.json"):
        campaigns = answer.json()["Results"]
        answer.json = lambda: campaigns
    return answer


def counted(stream, records, **options):
    """Count what is written."""
    global rows
    if stream not in PARENTS:
        STOPWATCH.start()
        rows += len(records)
    return write_records(stream, records, **options)


requests.request, singer.write_records = here, counted

import tap_campaign_monitor  # noqa: E402
from tap_campaign_monitor.streams import AVAILABLE_STREAMS  # noqa: E402

with tempfile.TemporaryDirectory() as directory:
    entries = [entry for stream in AVAILABLE_STREAMS for entry in stream({}, {}, None, None).generate_catalog()]
    for entry in entries:
        for metadata in entry["metadata"]:
            if not metadata["breadcrumb"]:
                metadata["metadata"]["selected"] = entry["stream"] in STREAMS
    config, catalog = Path(directory, "config.json"), Path(directory, "catalog.json")
    config.write_text(json.dumps({"client_id": CLIENT_ID, "refresh_token": REFRESH_TOKEN}))
    catalog.write_text(json.dumps({"streams": entries}))
    sys.argv[1:] = ["--config", str(config), "--catalog", str(catalog)]
    tap_campaign_monitor.main()
sys.stdout.flush()
STOPWATCH.report(rows)
