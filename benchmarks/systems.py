"""The systems that are measured: how each is started, where its profiles end up, and what it promises."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.job import Job
from benchmarks.measure import ROOT

BUILD = ROOT / "build" / "bench"
KSTREAMS = ROOT / "benchmarks" / "peers" / "kstreams"
QUIX = ROOT / "benchmarks" / "peers" / "quix"
TAP_DIRECTORY = ROOT / "benchmarks" / "peers" / "tap"

OURS = "ours"
KAFKA_STREAMS = "Kafka Streams"
FAUST = "Faust, idiomatic"
ADD_CALL = "official client, add call"
TAP = "tap-campaign-monitor"


class PeerUnavailableError(RuntimeError):
    """A peer cannot be built here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class System:
    """One measured program."""

    name: str
    command: Callable[[Job], list[str]]
    guarantee: str
    versions: Callable[[], Mapping[str, str]]
    result_topic: Callable[[Job], str] = lambda job: job.output
    prepare: Callable[[], None] = lambda: None
    share: float = 1.0
    """Of the workload's events that it is given; slow peers get fewer, or a run would take minutes."""
    java: bool = False


def python(module: str, *options: str) -> Callable[[Job], list[str]]:
    """Return how to start one of our Python programs in the environment of the harness."""
    return lambda job: [sys.executable, "-m", module, *job.arguments(), *options]


def java(task: str, *options: str) -> Callable[[Job], list[str]]:
    """Return how to start the Kafka Streams peer: 1 GiB of heap, everything else Java's default."""
    target = KSTREAMS / "target"
    return lambda job: [
        _java(),
        "-Xmx1g",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
        f"{target / 'kstreams.jar'}:{target / 'lib'}/*",
        "peers.Main",
        f"job={task}",
        *job.java_arguments(),
        *options,
    ]


def python_versions(*packages: str) -> Callable[[], Mapping[str, str]]:
    """Return the versions of Python and of these packages in the environment of the harness."""
    number = ".".join(map(str, sys.version_info[:3]))
    return lambda: {"python": number} | {name: importlib.metadata.version(name) for name in packages}


def quix(module: str) -> Callable[[Job], list[str]]:
    """Return how to start a program in Quix Streams' own environment."""
    return lambda job: [str(BUILD / "quix" / "bin" / "python"), "-m", module, *job.arguments()]


def quix_versions() -> Mapping[str, str]:
    """Return the versions that Quix's lock file pins."""
    return _pinned(QUIX, "quixstreams", "confluent-kafka", "rocksdict", "orjson")


def tap_versions() -> Mapping[str, str]:
    """Return the versions that the tap's lock file pins."""
    return _pinned(TAP_DIRECTORY, "tap-campaign-monitor", "singer-python", "requests")


def _pinned(directory: Path, *names: str) -> Mapping[str, str]:
    lock = (directory / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\n]+)", lock, re.MULTILINE))
    return {"python": ".".join(map(str, sys.version_info[:3]))} | {name: pinned[name] for name in names}


@cache
def java_versions() -> Mapping[str, str]:
    """Return the versions of Java and of the libraries that the peer was built with."""
    output = subprocess.run([_java(), "-version"], capture_output=True, text=True, check=True).stderr
    found = {"java": output.split('"')[1]}
    for jar in sorted((KSTREAMS / "target" / "lib").glob("*.jar")):
        name, _, version = jar.stem.rpartition("-")
        if name in {"kafka-streams", "rocksdbjni", "jackson-databind"}:
            found[name] = version
    return found


@cache
def prepare_java() -> None:
    """Build the Kafka Streams peer with Maven, unless it is newer than its sources.

    Raises:
        PeerUnavailableError: Java or Maven is missing, or the build failed.
    """
    jar = KSTREAMS / "target" / "kstreams.jar"
    sources = [KSTREAMS / "pom.xml", *(KSTREAMS / "src").rglob("*.java")]
    if jar.exists() and jar.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    if not shutil.which("mvn") or not shutil.which("java"):
        raise PeerUnavailableError(
            "the Kafka Streams peer needs Java 17 and Maven (Debian: openjdk-17-jdk-headless maven)"
        )
    _run(
        [shutil.which("mvn") or "mvn", "-q", "-B", "clean", "package"],
        KSTREAMS,
        "Maven build of the Kafka Streams peer",
    )


@cache
def prepare_quix() -> None:
    """Make Quix Streams' environment. Raises PeerUnavailableError: the packages could not be installed."""
    _prepare(QUIX, "Quix Streams")


@cache
def prepare_tap() -> None:
    """Make the Singer tap's environment. Raises PeerUnavailableError: the packages could not be installed."""
    _prepare(TAP_DIRECTORY, "tap-campaign-monitor")


def _prepare(peer: Path, name: str) -> None:
    """Make an environment from the peer's lock file, unless it is there already."""
    lock, directory = peer / "requirements.lock", BUILD / peer.name
    stamp = directory / "installed.lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    _run([sys.executable, "-m", "venv", "--clear", str(directory)], ROOT, f"environment for {name}")
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    _run([*pip, "--require-hashes", "-r", str(lock)], ROOT, f"installation of {name}")
    stamp.write_bytes(lock.read_bytes())


def _run(command: list[str], directory: Path, what: str) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerUnavailableError(f"{what} failed: {(done.stdout + done.stderr)[-1500:]}")


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise PeerUnavailableError("Java 17 or newer is needed (Debian: apt-get install openjdk-17-jdk-headless)")
    return found
