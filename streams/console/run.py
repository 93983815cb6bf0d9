"""The console as a process: `cm-streams console`."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

import structlog
from aiohttp import web
from yarl import URL

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.accounts import authorized_apis
from connectors.control.audit import AuditLog, AuditTrail
from connectors.control.crypto import ControlSettings
from connectors.control.jobs import Jobs
from connectors.control.metrics import ControlMetrics
from connectors.control.users import Users
from connectors.kafka.admin import ensure_topics
from connectors.kafka.broker_watch import BrokerWatch
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from connectors.process import HealthServer, listen, stopped_by_signal
from streams.console.access.passwords import Passwords
from streams.console.access.sessions import Sessions
from streams.console.context import Console
from streams.console.live.collector import FlowCollector
from streams.console.reads import Reads
from streams.console.server import application
from streams.console.settings import ConsoleSettings
from streams.control.import_runs import ImportRuns

log = structlog.get_logger(__name__)

STOP_SECONDS = 3.0
"""For pages that are being answered when the process is ended."""


async def run(
    kafka: KafkaSettings,
    campaign_monitor: CampaignMonitorSettings,
    control: ControlSettings,
    settings: ConsoleSettings,
    *,
    show: Callable[[str], None],
    health_host: str = "127.0.0.1",
    health_port: int = 0,
    stop: asyncio.Event | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Serve pages until `stop` is set; without one, until SIGTERM or SIGINT.

    `show` is called with lines for whoever starts it: the address, and the set-up link while there is no user.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        SealError: an encryption key is set, and is none.
        ReadError, BrokersUnreachableError: no broker answers.
        CannotListenError: an address is taken.
    """
    ended = stop or stopped_by_signal()
    async with contextlib.AsyncExitStack() as stack:
        health = await stack.enter_async_context(HealthServer(host=health_host, port=health_port))
        await asyncio.to_thread(ensure_topics, kafka)
        brokers = await stack.enter_async_context(BrokerWatch(kafka))
        reads = Reads(lambda: brokers.problem)
        stack.callback(reads.close)
        producer = await stack.enter_async_context(AsyncProducer(kafka, "console"))
        audit = AuditLog(kafka, producer)
        apis = await stack.enter_async_context(authorized_apis(kafka, producer, control, campaign_monitor, audit=audit))
        users = await stack.enter_async_context(Users(kafka, producer, audit))
        console = Console(
            kafka=kafka,
            campaign_monitor=campaign_monitor,
            jobs=await stack.enter_async_context(Jobs(kafka, producer, audit=audit, needs=apis.authorizations.known)),
            authorizations=apis.authorizations,
            users=users,
            apis=apis,
            producer=producer,
            audit=audit,
            trail=await stack.enter_async_context(AuditTrail(kafka)),
            imports=await stack.enter_async_context(ImportRuns(kafka)),
            transport=await stack.enter_async_context(Transport(campaign_monitor)),
            sessions=Sessions(users.get, session_seconds=settings.session_seconds, idle_seconds=settings.idle_seconds),
            passwords=Passwords(),
            proxy=settings.proxy(),
            clock=clock,
            collector=await stack.enter_async_context(FlowCollector(kafka, reads, clock)),
            reads=reads,
            address=settings.address(settings.port),
            setup_token=settings.setup_token.get_secret_value() if settings.setup_token else secrets.token_urlsafe(32),
        )
        stack.callback(ControlMetrics(console.jobs, console.authorizations).end)
        runner = web.AppRunner(application(console), access_log=None, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await listen(runner, settings.host, settings.port, "CONSOLE_HOST or CONSOLE_PORT")
        console.address = settings.address(int(runner.addresses[0][1]))
        console.campaign_monitor = campaign_monitor.model_copy(
            update={"oauth_redirect_url": str(console.address / "authorized")}
        )
        for line in shown_lines(console.address, console.setup_token, settings, is_new=not users.all()):
            show(line)
        health.ready = lambda: brokers.problem
        log.info("console serves", url=str(console.address))
        await ended.wait()
        log.info("console stops")


def shown_lines(address: URL, setup_token: str, settings: ConsoleSettings, *, is_new: bool) -> list[str]:
    """Return what is printed at the start: the address, and the set-up link while there is no user.

    A token that somebody has set is a secret that they know; only one that was made up here is shown.
    """
    last = "CONSOLE_SETUP_TOKEN" if settings.setup_token else setup_token
    setup = [f"set up   {address / 'setup' / last}  (once, for the first user)"] if is_new else []
    return [f"console  {address}", *setup]
