"""Long-lived programs beside the harness: the product's processes and the simulated Campaign Monitor, and their use of
the cores."""

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psutil

from benchmarks.measure import RunFailedError, output_tail, running
from connectors.devkit.ports import free_ports

START_SECONDS = 60.0
API_KEY = "benchmark-key"


@dataclass(slots=True)
class Service:
    """A running program. `usage` is complete when its block was left."""

    name: str
    directory: Path
    process: psutil.Process

    @property
    def resident_mb(self) -> float:
        """Memory at this moment."""
        return float(self.process.memory_info().rss) / (1 << 20)

    @property
    def peak_rss_mb(self) -> float:
        """The operating system's figure of the whole life. Raises FileNotFoundError while it lives."""
        return float(json.loads((self.directory / "usage").read_text())["peak_rss_mb"])


@dataclass(frozen=True, slots=True)
class Account:
    """The simulated Campaign Monitor, from outside."""

    service: Service
    base_url: str
    oauth_url: str
    admin_url: str

    def do(self, verb: str, **arguments: object) -> Any:
        """Carry out one of the simulator's verbs."""
        body = json.dumps(arguments).encode()
        with urllib.request.urlopen(f"{self.admin_url}/do/{verb}", body, timeout=120) as answer:
            response = json.load(answer)
        if "error" in response:
            raise RuntimeError(f"{verb}: {response['error']}")
        return response["result"]

    def get(self, path: str) -> Any:
        """Return an answer of the API, as any client gets it."""
        request = urllib.request.Request(f"{self.base_url}{path}")
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{API_KEY}:x".encode()).decode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def environment(self) -> dict[str, str]:
        """Return what the product's processes need to know of it."""
        return {"CM_BASE_URL": self.base_url, "CM_OAUTH_URL": self.oauth_url, "CM_API_KEY": API_KEY}


@contextlib.contextmanager
def service(name: str, command: list[str], directory: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """Run a program under the launcher until the block is left."""
    with running(command, directory / name, environment) as launcher:
        deadline = time.monotonic() + START_SECONDS
        while not (children := psutil.Process(launcher.pid).children()):
            _not_over(launcher, directory / name, deadline)
            time.sleep(0.01)
        yield Service(name, directory / name, children[0])


@contextlib.contextmanager
def simulator(
    directory: Path, *, latency_ms: float = 100.0, book_limit: int | None = None, keep_rows: int = 0
) -> Iterator[Account]:
    """Run an empty simulated account that takes so long for each call."""
    command = [sys.executable, "-m", "streams.cli", "simulator", "--port", "0", "--no-demo"]
    command += ["--latency-ms", str(latency_ms), "--keep-rows", str(keep_rows)]
    command += ["--book-limit", str(book_limit)] if book_limit else []
    with service("simulator", command, directory, {"CM_API_KEY": API_KEY}) as it:
        deadline = time.monotonic() + START_SECONDS
        while not (lines := output_tail(it.directory).splitlines()) or "ready" not in lines:
            _alive(it, deadline)
            time.sleep(0.02)
        urls = {words[0]: words[1] for line in lines if len(words := line.split()) > 1}
        yield Account(it, urls["API"], urls["OAuth"], urls["admin"])


@contextlib.contextmanager
def product(words: list[str], directory: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """Run one of the product's processes as operators do, `cm-streams WORDS`, and wait until it is ready."""
    name = "-".join(words)
    (port,) = free_ports(1)
    own = {
        "STREAMS_DATA_DIR": str(directory / name / "data"),
        "STREAMS_HEALTH_PORT": str(port),
        "STREAMS_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "streams.cli", *words]
    with service(name, command, directory, {**environment, **own}) as it:
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(port):
            _alive(it, deadline)
            time.sleep(0.05)
        yield it


class Meter:
    """What each process takes of the cores between two marks; the broker's too, where it is ours."""

    def __init__(self, **processes: Service) -> None:
        self._processes = {name: it.process for name, it in processes.items()}
        brokers = [process for process in psutil.Process().children(recursive=True) if process.name() == "java"]
        if len(brokers) == 1:
            self._processes["broker"] = brokers[0]
        self._at = time.perf_counter()
        self._before = self._now()

    def seconds(self) -> dict[str, float]:
        """Return each process's CPU seconds since the beginning."""
        return {name: spent - self._before[name] for name, spent in self._now().items()}

    def cores(self) -> str:
        """Say how many cores each process has kept busy since the beginning."""
        elapsed = time.perf_counter() - self._at
        shares = ", ".join(f"{name} {spent / elapsed:.2f}" for name, spent in self.seconds().items())
        return f"cores: {shares} of {os.cpu_count()}"

    def _now(self) -> dict[str, float]:
        times = {name: it.cpu_times() for name, it in self._processes.items()}
        return {name: spent.user + spent.system for name, spent in times.items()}


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, http.client.HTTPException):
        return False


def _alive(it: Service, deadline: float) -> None:
    if not it.process.is_running() or it.process.status() == psutil.STATUS_ZOMBIE:
        raise RunFailedError(f"{it.name} ended: {output_tail(it.directory)}")
    if time.monotonic() > deadline:
        raise RunFailedError(f"{it.name} was not ready in {START_SECONDS:.0f} s: {output_tail(it.directory)}")


def _not_over(launcher: "subprocess.Popen[bytes]", directory: Path, deadline: float) -> None:
    if launcher.poll() is not None or time.monotonic() > deadline:
        raise RunFailedError(f"it did not start: {output_tail(directory)}")
