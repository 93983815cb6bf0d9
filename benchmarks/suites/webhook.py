"""Suite `webhook`: posts to the product's receiver until the broker has their events and 200 is answered."""

import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime

from confluent_kafka import Producer
from pydantic import SecretStr

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import PARTITIONS, Job
from benchmarks.load.post_events import body
from benchmarks.measure import RunFailedError
from benchmarks.measure import run as run_program
from benchmarks.results import Result
from benchmarks.services import Meter, product, simulator
from benchmarks.suites.waiting import until
from benchmarks.systems import OURS, python_versions
from connectors.devkit.ports import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.body import path_of
from schemas.control import ImportJob

SUITE = "webhook"
SECRET = "a-secret-of-the-benchmarks"
CONNECTIONS = 8
# events a post -> posts: whole run, quick run, mere check
POSTS = {1: (8_000, 2_000, 200), 100: (1_500, 400, 30)}


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure events/s and the time of a post, with 1 and with 100 events in each."""
    prefix, directory = bench.fresh("webhook")
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bench.topics.bootstrap, topic_prefix=prefix, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    (port,) = free_ports(1)
    results: list[Result] = []
    try:
        with simulator(directory, latency_ms=0) as account:
            client_id = account.do("add_client", name="Acme")
            list_id = account.do("add_list", client_id=client_id, title="Newsletter")
            environment = account.environment() | {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "KAFKA_TOPIC_PREFIX": prefix,
                "KAFKA_PARTITIONS": str(PARTITIONS),
                "WEBHOOK_SECRET": SECRET,
                "WEBHOOK_PORT": str(port),
                "WEBHOOK_PUBLIC_URL": f"http://127.0.0.1:{port}",
            }
            url = f"http://127.0.0.1:{port}{path_of(SecretStr(SECRET), list_id)}"
            with product(["webhooks"], directory, environment) as receiver:
                _want_webhook(kafka, client_id)
                until(lambda: _accepts(url, list_id), 60, "webhook of the list", every=0.2)
                topic = kafka.names()["cm_activity"]
                for events, (whole, quick, check) in POSTS.items():
                    posts = bench.scaled(whole, quick=quick, check=check)
                    before = bench.topics.records(topic)
                    meter = Meter(ours=receiver)
                    options = (url, list_id, str(events), str(CONNECTIONS))
                    job = Job("none", "post", ("none",), "none", posts * events, directory, options)
                    command = [sys.executable, "-m", "benchmarks.load.post_events", *job.arguments()]
                    sample = run_program(command, directory / f"post{events}", timeout_seconds=120)
                    cores, spent = meter.cores(), meter.seconds()
                    if (found := bench.topics.records(topic) - before) != sample.events:
                        raise WrongOutputError(f"{found:,} events are in Kafka, {sample.events:,} were acknowledged")
                    results.append(
                        Result(
                            suite=SUITE,
                            workload=f"{events} event{'s' * (events > 1)} a POST, {CONNECTIONS} connections",
                            system=OURS,
                            guarantee="200 only after the brokers have every event of the post",
                            versions=python_versions("aiohttp", "confluent-kafka", "orjson")(),
                            events=sample.events,
                            events_per_s=round(sample.events_per_s, 1),
                            cpu_us_per_event=round(spent["ours"] / sample.events * 1e6, 1),
                            p50_ms=sample.p50_ms,
                            p99_ms=sample.p99_ms,
                            peak_rss_mb=round(receiver.resident_mb, 1),
                            checked="every acknowledged event is in Kafka, once",
                            note=f"poster {sample.cpu_seconds / sample.seconds:.2f}, {cores}",
                            quick=bench.quick,
                        )
                    )
    except (RunFailedError, WrongOutputError, TimeoutError, OSError) as error:
        bench.failures.append(f"webhook: {error}")
        bench.report(bench.failures[-1])
    finally:
        bench.topics.delete(prefix)
    for result in results:
        bench.report(f"webhook, {result.workload}: {result.figures()}")
    return results


def _want_webhook(kafka: KafkaSettings, client_id: str) -> None:
    """Publish a job that keeps its lists updated: so they get webhooks."""
    now = datetime.now(UTC)
    job = ImportJob(
        id="bench", authorization_id="bench", client_id=client_id, keep_updated=True, created_at=now, updated_at=now
    )
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(kafka.names()["cm_jobs"], job.to_bytes(), job.id.encode())
    producer.flush(10)


def _accepts(url: str, list_id: str) -> bool:
    request = urllib.request.Request(url, body(list_id, 0, 1), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
