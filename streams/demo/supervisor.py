"""Runs the processes of one machine: starts them, restarts the ones that end, and stops all of them, in order.

A `Machine` lists the processes that run here, and the settings by which each finds the others.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import structlog

from connectors.control.crypto import new_key
from connectors.devkit import supervise

log = structlog.get_logger(__name__)

CONFIGURATION_ERROR = 78
"""A process that ends so cannot be helped by a restart."""

RESTART_AFTER_SECONDS = 1.0
STOP_WITHIN_SECONDS = 15.0
"""A worker needs up to ten seconds to finish its batch and to leave its group."""


class ServiceFailedError(RuntimeError):
    """A process ended, or did not get ready in time; the message names it and shows its last lines."""


class PortError(ValueError):
    """A setting names no port; the message names the setting."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process: a verb of `cm-streams`, arguments and environment, and the address that answers when it is ready."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""


class Supervisor:
    """Keeps services running. Every one writes its log to a file of its own below `log_dir`.

    `held`: file descriptors that stay open until each of them has ended, as that of a lock on their directory.
    """

    def __init__(self, log_dir: Path, held: Sequence[int] = ()) -> None:
        self._log_dir = log_dir
        self._held = tuple(held)
        self._running: dict[str, tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = {}
        self._stopping = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with ServiceFailedError when a service ends in a way that a restart cannot help."""

    async def start(self, *services: Service, within_seconds: float = 60) -> None:
        """Start services side by side and wait until all are ready. Raises ServiceFailedError."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for service in services:
            await self._spawn(service)
        await asyncio.gather(*(self._until_ready(service, within_seconds) for service in services))

    async def stop(self) -> None:
        """Stop all services, last started first, each within its time."""
        self._stopping = True
        processes = [(name, *running) for name, running in reversed(self._running.items())]
        for _name, process, watch in processes:
            watch.cancel()
            if process.stdin is not None:
                process.stdin.close()  # the end of its input makes the small program around it end it
        for name, process, _watch in processes:
            try:
                await asyncio.wait_for(process.wait(), STOP_WITHIN_SECONDS)
            except TimeoutError:
                log.warning("process did not stop in time", service=name)
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                await process.wait()
        self._running.clear()

    def log_file(self, name: str) -> Path:
        """Where the service with this name writes its log."""
        return self._log_dir / f"{name}.log"

    async def _spawn(self, service: Service) -> None:
        command: Sequence[str] = (
            *(sys.executable, "-I", "-S", supervise.__file__, "-"),
            *(sys.executable, "-m", "streams.cli", *service.arguments),
        )
        with self.log_file(service.name).open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=output,
                env={**os.environ, **service.environment},
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the others in order
                pass_fds=self._held,
            )
        watch = asyncio.create_task(self._watch(service, process), name=f"watch {service.name}")
        self._running[service.name] = (process, watch)

    async def _watch(self, service: Service, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if self._stopping:
            return
        if code == CONFIGURATION_ERROR:
            if not self.failed.done():
                self.failed.set_exception(ServiceFailedError(self._last_words(service, f"ended with code {code}")))
            return
        log.warning("process ended, starting it again", service=service.name, code=code)
        await asyncio.sleep(RESTART_AFTER_SECONDS)
        await self._spawn(service)

    async def _until_ready(self, service: Service, within_seconds: float) -> None:
        if not service.ready_url:
            return
        deadline = time.monotonic() + within_seconds
        reason = "it does not answer"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while time.monotonic() < deadline:
                if self.failed.done():
                    self.failed.result()
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(service.ready_url) as response:
                        if response.status == 200:
                            return
                        reason = (await response.text())[:300]
                await asyncio.sleep(0.05)
        raise ServiceFailedError(self._last_words(service, f"is not ready after {within_seconds:.0f} s: {reason}"))

    def _last_words(self, service: Service, what: str) -> str:
        path = self.log_file(service.name)
        lines = path.read_text(errors="replace").splitlines()[-15:] if path.exists() else []
        return "\n".join([f"{service.name} {what}. The end of {path}:", *lines])


LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of what listens, all on loopback."""

    simulator: int
    webhooks: int
    profiles: int
    health: Mapping[str, int]
    """By the name of the process."""


PROCESSES = ("export-worker", "profile-worker", "connector", "webhooks")


@dataclass(frozen=True, slots=True)
class Machine:
    """The addresses and secrets of one start."""

    bootstrap_servers: str
    ports: Ports
    data_dir: Path
    base_url: str
    oauth_url: str
    simulated: bool
    """Whether Campaign Monitor is the local one."""
    api_key: str
    encryption_key: str
    webhook_secret: str
    profile_token: str

    @property
    def simulator_admin_url(self) -> str:
        """Where the local Campaign Monitor is asked to act for people."""
        return f"http://{LOOPBACK}:{self.ports.simulator}/simulator"

    def environment(self) -> dict[str, str]:
        """Return the settings that all processes share."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "CM_BASE_URL": self.base_url,
            "CM_OAUTH_URL": self.oauth_url,
            "CONTROL_ENCRYPTION_KEY": self.encryption_key,
            "WEBHOOK_SECRET": self.webhook_secret,
            "WEBHOOK_PORT": str(self.ports.webhooks),
            "WEBHOOK_PUBLIC_URL": f"http://{LOOPBACK}:{self.ports.webhooks}",
            "PROFILE_HTTP_PORT": str(self.ports.profiles),
            "PROFILE_API_TOKEN": self.profile_token,
        }

    def shell_settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return what a shell needs to reach this start's processes, without what the environment sets itself."""
        shared = self.environment()
        names = ("KAFKA_BOOTSTRAP_SERVERS", "CM_BASE_URL", "CM_OAUTH_URL", "CONTROL_ENCRYPTION_KEY")
        settings = {name: shared[name] for name in (*names, "PROFILE_HTTP_PORT", "PROFILE_API_TOKEN")}
        if self.simulated and not environment.get("CM_API_KEY"):
            settings["CAMPAIGN_MONITOR_API_KEY"] = self.api_key
        return {name: value for name, value in settings.items() if not environment.get(name)}

    def simulator(self) -> Service:
        """Return the local Campaign Monitor with its demo account."""
        port = str(self.ports.simulator)
        return Service(
            "simulator",
            ("simulator", "--port", port, "--subscribers", "400", "--activity", "2000"),
            environment={"CM_API_KEY": self.api_key},
            ready_url=f"http://{LOOPBACK}:{port}/simulator/health",
        )

    def service(self, name: str) -> Service:
        """Return one of `PROCESSES`."""
        verbs = {"export-worker": ("worker", "export"), "profile-worker": ("worker", "profiles")}
        port = self.ports.health[name]
        own = {
            "STREAMS_DATA_DIR": str(self.data_dir / name),
            "STREAMS_HEALTH_PORT": str(port),
        }
        return Service(
            name,
            verbs.get(name, (name,)),
            environment={**self.environment(), **own},
            ready_url=f"http://{LOOPBACK}:{port}/ready",
        )


def machine(
    environment: Mapping[str, str], *, bootstrap_servers: str, data_dir: Path, free_ports: list[int]
) -> Machine:
    """Return this start's machine: what the environment sets stays, everything else is chosen.

    `free_ports`: as many as `PORTS_NEEDED`. Raises PortError.
    """
    free_simulator, webhooks, profiles, *health = free_ports
    simulator = _port(environment, "SIMULATOR_PORT", free_simulator)
    simulated = not environment.get("CM_BASE_URL")
    return Machine(
        bootstrap_servers=bootstrap_servers,
        ports=Ports(
            simulator=simulator,
            webhooks=_port(environment, "WEBHOOK_PORT", webhooks),
            profiles=_port(environment, "PROFILE_HTTP_PORT", profiles),
            health=dict(zip(PROCESSES, health, strict=True)),
        ),
        data_dir=data_dir,
        simulated=simulated,
        base_url=environment.get("CM_BASE_URL") or f"http://{LOOPBACK}:{simulator}/api/v3.3",
        oauth_url=environment.get("CM_OAUTH_URL") or f"http://{LOOPBACK}:{simulator}/oauth",
        api_key=environment.get("CM_API_KEY") or secrets.token_hex(16),
        encryption_key=environment.get("CONTROL_ENCRYPTION_KEY") or new_key(),
        webhook_secret=environment.get("WEBHOOK_SECRET") or secrets.token_urlsafe(32),
        profile_token=environment.get("PROFILE_API_TOKEN") or secrets.token_urlsafe(24),
    )


def _port(environment: Mapping[str, str], name: str, free: int) -> int:
    text = environment.get(name) or str(free)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65_536):
        raise PortError(f"{name} is no port: it is a number from 1 to 65535, or is left out for a free one")
    return int(text)


PORTS_NEEDED = 3 + len(PROCESSES)
