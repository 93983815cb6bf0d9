"""Peer: a loop over the official client. Each record is one add call, or a thousand of them one import call.

Options: `add` or `import`, base URL, API key, list id, threads: with several, as many calls are made at once.
"""

import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import orjson
from confluent_kafka import Consumer
from createsend import Subscriber

from benchmarks.job import Job, Stopwatch
from benchmarks.peers import official_client

IMPORT_ROWS = 1_000


def person(value: bytes) -> dict[str, Any]:
    """Return the subscriber that a membership event asks for."""
    event = orjson.loads(value)
    return {
        "EmailAddress": event["email"],
        "Name": event["user"]["name"],
        "CustomFields": [{"Key": "City", "Value": event["user"]["city"]}],
        "ConsentToTrack": "Unchanged",
    }


def main() -> None:
    """Send every event and report how long it took."""
    job, stopwatch = Job.from_arguments(sys.argv[1:]), Stopwatch()
    method, base_url, api_key, list_id, threads = job.options
    official_client.use(base_url)
    consumer = Consumer(
        {"bootstrap.servers": job.bootstrap, "group.id": job.app, "auto.offset.reset": "earliest"}
        | {"enable.auto.commit": False}
    )
    consumer.subscribe(list(job.inputs))

    def send(people: list[dict[str, Any]]) -> None:
        subscriber = Subscriber({"api_key": api_key}, list_id)
        if method == "import":
            subscriber.import_subscribers(list_id, people, resubscribe=False)
        else:
            one = people[0]
            subscriber.add(list_id, one["EmailAddress"], one["Name"], one["CustomFields"], False, "Unchanged")

    senders, done = ThreadPoolExecutor(int(threads)), 0
    under_way: set[Future[None]] = set()
    while done < job.events:
        records = consumer.consume(IMPORT_ROWS if method == "import" else 1, 1.0)
        people = [person(record.value() or b"") for record in records if record.error() is None]
        if not people:
            continue
        stopwatch.start()
        if len(under_way) == int(threads):
            finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
        under_way.add(senders.submit(send, people))
        consumer.commit(asynchronous=True)
        done += len(people)
    for future in under_way:
        future.result()
    stopwatch.report(done)
    consumer.close()


if __name__ == "__main__":
    main()
