"""Peer: a loop over the official client, page after page, each row one record.

Options: base URL, API key, client id, threads: with several, as many pages of a resource are read at once.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from confluent_kafka import Producer
from createsend import Campaign, Client, List

from benchmarks.job import Job, Stopwatch
from benchmarks.peers import official_client

LISTINGS = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
REPORTS = ("opens", "clicks", "unsubscribes", "bounces", "spam")


def main() -> None:
    """Publish every subscriber and every report row."""
    job, stopwatch = Job.from_arguments(sys.argv[1:]), Stopwatch()
    base_url, api_key, client_id, threads = job.options
    official_client.use(base_url)
    auth = {"api_key": api_key}
    producer = Producer({"bootstrap.servers": job.bootstrap, "enable.idempotence": True, "compression.type": "lz4"})
    done = 0

    def publish(rows: list[Any], **more: str) -> int:
        for row in rows:
            value = plain(row) | more
            while True:
                try:
                    producer.produce(job.output, orjson.dumps(value), str(row.EmailAddress).encode())
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
        return len(rows)

    readers = ThreadPoolExecutor(int(threads))

    def pages(read: Callable[..., Any], **more: str) -> None:
        nonlocal done
        stopwatch.start()

        def page(number: int) -> tuple[int, int]:
            answer = read(page=number, page_size=1000)
            return publish(answer.Results, **more), answer.NumberOfPages

        rows, last = page(1)
        done += rows + sum(rows for rows, _ in readers.map(page, range(2, last + 1)))

    client = Client(auth, client_id)
    for mailing_list in client.lists():
        for listing in LISTINGS:
            pages(getattr(List(auth, mailing_list.ListID), listing), list_id=mailing_list.ListID, state=listing)
    pages(client.suppressionlist, state="suppressed")
    for summary in client.campaigns().Results:
        campaign = Campaign(auth, summary.CampaignID)
        pages(campaign.recipients, campaign_id=summary.CampaignID, event="recipients")
        for report in REPORTS:
            pages(getattr(campaign, report), campaign_id=summary.CampaignID, event=report)
    producer.flush()
    stopwatch.report(done)


def plain(value: Any) -> Any:
    """Return a value of the client's answers as JSON values. Its objects are classes, with what Python adds to them."""
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if hasattr(value, "__dict__"):
        return {name: plain(inner) for name, inner in vars(value).items() if not name.startswith("__")}
    return value


if __name__ == "__main__":
    main()
