"""What every process has: logs without secrets, probes, and an end when it is asked to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from connectors.control.jobs import refused_access
from connectors.kafka.settings import KafkaSettings
from connectors.logs import HIDDEN, hide_secrets
from connectors.process import CannotListenError, HealthServer, stopped_by_signal
from streams.batches import CannotListen, Metrics
from streams.export import worker as export_worker
from streams.export.settings import ExportSettings
from streams.process import StreamsSettings, refused_with_a_sentence, run_with_health, worker_reasons
from streams.profile import worker as profile_worker
from streams.profile.server import ProfileServer
from streams.profile.settings import ProfileSettings


@pytest.mark.parametrize(
    "name", ["api_key", "apikey", "password", "client_secret", "refresh_token", "tokens", "credentials", "sealed"]
)
def test_values_named_like_secrets_are_hidden(name):
    assert hide_secrets(None, "info", {"event": "x", name: "canary"}) == {"event": "x", name: HIDDEN}
    assert hide_secrets(None, "info", {name: None}) == {name: None}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic Y2FuYXJ5Ong=", "Authorization: ***"),
        ("bearer canary-token.x", "***"),
        ("https://user:canary@host/x", "https://***@host/x"),
        ("GET https://host/x", "GET https://host/x"),
        ("basic", "basic"),
    ],
)
def test_texts_that_look_like_secrets_are_hidden(text, shown):
    assert hide_secrets(None, "info", {"event": text}) == {"event": shown}


@given(st.dictionaries(st.sampled_from(["event", "list_id", "rows", "reason"]), st.integers()))
def test_everything_else_is_logged_as_it_is(event):
    assert hide_secrets(None, "info", dict(event)) == event


async def test_probes_answer_what_the_process_reports():
    problem: list[str] = ["the broker is away"]
    registry = CollectorRegistry()
    Counter("made_up", "For this test.", registry=registry).inc()
    async with (
        HealthServer(lambda: problem[0] if problem else None, registry=registry) as health,
        aiohttp.ClientSession(f"http://127.0.0.1:{health.port}") as session,
    ):
        async with session.get("/live") as answer:
            assert (answer.status, await answer.json()) == (200, {"live": True})
        async with session.get("/ready") as answer:
            assert answer.status == 503
            assert await answer.json() == {"ready": False, "reason": "the broker is away"}
        problem.clear()
        async with session.get("/ready") as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True})
        async with session.get("/metrics") as answer:
            assert "made_up_total 1.0" in await answer.text()


async def test_idle_connections_keep_no_probe_waiting(monkeypatch):
    """Each is an open file of the process, which has work to do."""
    monkeypatch.setattr("connectors.process.MAX_HEALTH_CONNECTIONS", 8)
    async with HealthServer(lambda: None) as health:
        idle = [await asyncio.open_connection("127.0.0.1", health.port) for _connection in range(20)]
        for reader, _writer in idle[:12]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{health.port}") as session:
            for path, status in (("/live", 200), ("/none", 404)):
                async with session.get(path) as answer:
                    assert answer.status == status
            async with session.post("/live") as answer:
                assert answer.status == 405
        for _reader, writer in idle:
            writer.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_order(number):
    stopped = stopped_by_signal()
    assert not stopped.is_set()
    os.kill(os.getpid(), number)
    await asyncio.wait_for(stopped.wait(), 5)
    for other in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(other)


async def test_a_port_that_is_taken_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SystemExit) as end, refused_with_a_sentence():
            async with HealthServer(lambda: None, port=taken.getsockname()[1]):
                pass
        assert end.value.code == 78
        written = capsys.readouterr().err
        assert str(taken.getsockname()[1]) in written
    assert written.count("\n") == 1
    assert "STREAMS_HEALTH_PORT" in written


async def test_an_address_of_no_host_is_a_sentence() -> None:
    with pytest.raises(
        CannotListenError, match=r"^cannot listen on nowhere.invalid:0: .*; set another STREAMS_HEALTH_HOST"
    ):
        async with HealthServer(lambda: None, host="nowhere.invalid"):
            pass


async def test_a_taken_port_ends_a_worker_with_78_and_no_traceback() -> None:
    """Each server of a worker: its probes, and the profiles that it serves."""
    registered: list[Callable[[], Awaitable[None]]] = []
    app = SimpleNamespace(
        metrics=SimpleNamespace(snapshot=list), run=lambda *, start, stop: registered.append(start), health=lambda: None
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run_with_health(app, StreamsSettings(health_port=port), _nothing, _nothing)  # type: ignore[arg-type, func-returns-value]
        server = ProfileServer(
            *(None, lambda _partition: None),  # type: ignore[arg-type]
            token=None,
            host="127.0.0.1",
            port=port,
            public_url="",
            partitions=1,
            version="v",
        )
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already in use.*STREAMS_HEALTH_PORT") as end:
            await registered[0]()
        assert (end.value.exit_code, end.value.__suppress_context__) == (78, True)
        with pytest.raises(CannotListenError, match=f"127.0.0.1:{port}: Address already in use.*PROFILE_HTTP_PORT"):
            await server.start()
        await server.stop()


async def _nothing() -> None:
    pass


async def test_a_worker_answers_from_before_it_reads_a_topic_on() -> None:
    """And until it has stopped: what is scraped last shows why it ended."""
    seen: list[tuple[str, int, str]] = []
    reasons = ["no partitions"]

    def run(*, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
        running.extend([start, stop])

    running: list[Callable[[], Awaitable[None]]] = []
    app = SimpleNamespace(metrics=Metrics(), run=run, health=lambda: SimpleNamespace(reasons=reasons), watchdog=None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def ask(moment: str) -> None:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/ready") as answer:
            seen.append((moment, answer.status, (await answer.json()).get("reason", "")))

    settings = StreamsSettings(_env_file=None, health_port=port)  # type: ignore[call-arg]
    run_with_health(app, settings, lambda: ask("start"), lambda: ask("stop"))  # type: ignore[arg-type, func-returns-value]
    await running[0]()
    reasons.clear()
    await running[1]()
    assert seen == [("start", 503, "no partitions"), ("stop", 200, "")]


@pytest.mark.parametrize(
    ("lag", "disk_share", "problem", "reason"),
    [
        (9.0, 0.0, None, None),
        (11.0, 0.0, None, "the oldest unread record is 11 s old"),
        (0.0, 0.999999, None, "of the disk of"),
        (0.0, 0.0, "authorization a: log in again", "authorization a: log in again"),
    ],
)
def test_a_worker_names_each_reason_why_it_is_not_ready(tmp_path, lag, disk_share, problem, reason):  # type: ignore[no-untyped-def]
    settings = StreamsSettings(
        _env_file=None,  # type: ignore[call-arg]
        data_dir=tmp_path / "is" / "made" / "later",
        ready_lag_seconds=10,
        ready_disk_share=disk_share,
    )
    app = SimpleNamespace(
        health=lambda: SimpleNamespace(reasons=["restoring tables"]),
        watchdog=SimpleNamespace(lag=SimpleNamespace(seconds=lambda: lag)),
    )
    first, *others = worker_reasons(app, settings, problem)
    assert first == "restoring tables"
    assert len(others) == (reason is not None)
    assert all(str(reason) in other for other in others)


def test_a_refused_credential_of_a_running_job_is_a_reason() -> None:
    def job(state: str, access: str) -> SimpleNamespace:
        return SimpleNamespace(state=state, authorization_id=access)

    access = {name: SimpleNamespace(id=name, problem=problem) for name, problem in {"a": None, "b": "log in"}.items()}
    jobs = {"1": job("running", "a"), "2": job("stopped", "b"), "3": job("running", "CM_API_KEY's")}
    assert refused_access(jobs, access) is None  # type: ignore[arg-type]
    jobs["2"] = job("running", "b")
    assert refused_access(jobs, access) == "authorization b: log in"  # type: ignore[arg-type]


def test_another_fault_of_the_system_keeps_its_traceback() -> None:
    with pytest.raises(OSError, match="No space"), refused_with_a_sentence():
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("policy", ["halt", "continue"])
def test_both_workers_do_as_told_with_lost_records(monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    monkeypatch.setenv("STREAMS_ON_LOST_RECORDS", policy)
    streams, kafka = StreamsSettings(), KafkaSettings(bootstrap_servers="127.0.0.1:1")
    assert export_worker.batch_settings(streams, kafka, ExportSettings()).on_lost_records == policy
    assert profile_worker.batch_settings(streams, kafka, ProfileSettings()).on_lost_records == policy
