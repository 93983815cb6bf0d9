"""Runs the processes of one machine: starts them, restarts the ones that end, and stops all of them, in order."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from connectors.devkit import supervise
from connectors.devkit.embedded_kafka.artifacts import BrokerUnavailableError
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka

CONFIGURATION_ERROR = 78
"""A process that ends so cannot be helped by a restart, unless it was ready with the same settings before."""

RESTART_SECONDS = (1.0, 30.0)
"""Before a process that has ended is started again: at first, and at most; each end within LIVED_SECONDS doubles it."""
LIVED_SECONDS = 60.0
STOP_SECONDS = 5.0
"""A worker at rest needs two to leave its group. One that is killed loses nothing, and the broker is stopped next."""
STOP_ALL_SECONDS = 7.5
"""The broker has what the services leave of it. At rest it needs half a second; one that is killed reads its logs at
the next start."""
LOOK_SECONDS = 0.3
ROTATE_SECONDS = 5.0
MAX_LOG_BYTES = 10_000_000
"""Of one log file; the former one is kept beside it as `NAME.log.1`."""
NEXT_COMMAND = "next: .venv/bin/cm-streams lag"

ShowLine = Callable[[str], None]


class ServiceFailedError(RuntimeError):
    """A process ended, or did not get ready in time; the message names it and shows its last lines."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process: a verb of `cm-streams`, arguments and environment, and the address that answers when it is ready."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""


class Supervisor:
    """Keeps services and a broker running. Every one writes its log to a file of its own below `log_dir`.

    `held`: file descriptors that stay open until each of them has ended, as that of a lock on their directory.
    `report` is called with a line for each that ended and was started again, and what to type next.
    """

    def __init__(self, log_dir: Path, held: Sequence[int] = (), report: ShowLine = lambda _line: None) -> None:
        self._log_dir = log_dir
        self._held = tuple(held)
        self._report = report
        self._running: dict[str, tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = {}
        self._kept: list[asyncio.Task[None]] = []
        self._again: dict[str, asyncio.Task[None]] = {}
        """By service: reports when it is ready again."""
        self._were_ready: set[str] = set()
        self._stopping = False
        self._stopped_by: float | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with ServiceFailedError when a service ends in a way that a restart cannot help."""

    async def start(self, *services: Service, within_seconds: float = 60) -> None:
        """Start services side by side and wait until all are ready. Raises ServiceFailedError."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for service in services:
            await self._spawn(service, RESTART_SECONDS[0])
        await asyncio.gather(*(self._until_ready(service, within_seconds) for service in services))

    def keep(self, broker: EmbeddedKafka) -> None:
        """Start a broker again, on its data and port, whenever it has ended; and keep all log files short."""
        self._kept.append(asyncio.create_task(self._watch_broker(broker), name="watch the broker"))
        files = [broker.directory / "kafka.log"]
        self._kept.append(asyncio.create_task(self._keep_short(files), name="rotate the logs"))

    async def stop(self) -> None:
        """Stop all services side by side, each within STOP_SECONDS; whatever has not ended by then is killed."""
        self._stopping = True
        self._stopped_by = time.monotonic() + STOP_ALL_SECONDS
        processes = [(name, *running) for name, running in reversed(self._running.items())]
        for _name, process, watch in processes:
            watch.cancel()
            if process.stdin is not None:
                process.stdin.close()  # the end of its input makes the small program around it end it
        others = [*self._kept, *self._again.values()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.gather(*(self._end(name, process) for name, process, _watch in processes))
        self._running.clear()

    @property
    def seconds_left(self) -> float:
        """What a stop may take from now on."""
        return STOP_ALL_SECONDS if self._stopped_by is None else max(1.0, self._stopped_by - time.monotonic())

    def log_file(self, name: str) -> Path:
        """Where the service with this name writes its log."""
        return self._log_dir / f"{name}.log"

    async def _end(self, name: str, process: asyncio.subprocess.Process) -> None:
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._report(
                f"{name} did not stop in {STOP_SECONDS:.0f} s, and was killed; nothing is lost, a later start goes on"
            )
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it and its child are a session of their own
            await process.wait()

    async def _spawn(self, service: Service, pause: float) -> None:
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
        watch = asyncio.create_task(self._watch(service, process, pause), name=f"watch {service.name}")
        self._running[service.name] = (process, watch)

    async def _watch(self, service: Service, process: asyncio.subprocess.Process, pause: float) -> None:
        began = time.monotonic()
        code = await process.wait()
        if self._stopping:
            return
        if code == CONFIGURATION_ERROR and service.name not in self._were_ready:
            self._fail(self._last_words(service, f"ended with code {code}"))
            return
        first, most = RESTART_SECONDS
        pause = first if time.monotonic() - began > LIVED_SECONDS else pause
        why = f" ({' '.join(self._tail(service)[-1:])})" if code == CONFIGURATION_ERROR else ""
        self._report(f"{service.name} ended with code {code}{why}, and is started again")
        await asyncio.sleep(pause)
        await self._spawn(service, min(2 * pause, most))
        if service.name in self._again:
            self._again[service.name].cancel()
        self._again[service.name] = asyncio.create_task(self._report_ready(service), name=f"report {service.name}")

    async def _report_ready(self, service: Service) -> None:
        """Report that a service that was started again is ready, however long it takes; its next end cancels this."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(ServiceFailedError):
                await self._until_ready(service, LIVED_SECONDS)
                break
        where = shown_path(self.log_file(service.name))
        self._report(
            f"{service.name} is ready again after {time.monotonic() - began:.1f} s (log: {where}); {NEXT_COMMAND}"
        )

    async def _watch_broker(self, broker: EmbeddedKafka) -> None:
        """Raises nothing; a broker that cannot be started again ends `failed`."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if broker.running:
                continue
            self._report("the broker ended, and is started again on its data")
            began = time.monotonic()
            try:
                await restarted(broker)
            except BrokerUnavailableError as failure:
                self._fail(str(failure))
                return
            self._report(f"the broker answers again after {time.monotonic() - began:.1f} s; {NEXT_COMMAND}")

    async def _keep_short(self, files: Sequence[Path]) -> None:
        while True:
            for file in (*files, *self._log_dir.glob("*.log")):
                rotate(file)
            await asyncio.sleep(ROTATE_SECONDS)

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(ServiceFailedError(reason))

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
                            self._were_ready.add(service.name)
                            return
                        reason = (await response.text())[:300]
                await asyncio.sleep(0.05)
        raise ServiceFailedError(self._last_words(service, f"is not ready after {within_seconds:.0f} s: {reason}"))

    def _last_words(self, service: Service, what: str) -> str:
        return "\n".join([f"{service.name} {what}. The end of {self.log_file(service.name)}:", *self._tail(service)])

    def _tail(self, service: Service) -> list[str]:
        path = self.log_file(service.name)
        return path.read_text(errors="replace").splitlines()[-15:] if path.exists() else []


async def restarted(broker: EmbeddedKafka) -> None:
    """Start a broker that has ended. Cancelled, it is killed: the thread that waits for its answer ends with it."""
    try:
        await asyncio.to_thread(broker.restart)
    except asyncio.CancelledError:
        await asyncio.to_thread(broker.kill)
        raise


def shown_path(path: Path) -> str:
    """Return a path as a person in this directory types it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def rotate(file: Path, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """Move what is in a file that has grown too large to `FILE.1`, and return whether it had.

    Its writer appends to it and goes on, so it is copied and emptied; lines written between the two, a millisecond, are
    in neither. A file that cannot be rotated stays as it is, and its writer is not disturbed.
    """
    try:
        if file.stat().st_size <= max_bytes:
            return False
        shutil.copyfile(file, file.with_name(f"{file.name}.1"))
        os.truncate(file, 0)
    except OSError:
        return False
    return True
