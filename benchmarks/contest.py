"""Several systems on one workload: run in turn, several times over, each one's output checked, then the medians.

In turn (ABAB, not AABB), because other users of a machine come and go: what slows one slows all.
"""

import itertools
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.compare_profiles import Comparison, canonical_json, compare
from benchmarks.job import Job
from benchmarks.measure import RunFailedError, Sample, run
from benchmarks.results import Result
from benchmarks.systems import PeerUnavailableError, System
from benchmarks.topics import PREFIX, Message, Topics
from benchmarks.workloads import Workload

SLOWEST_EVENTS_PER_S = 6_000.0
"""A program that is slower than this is stopped; idiomatic Faust, at 2,500, is given few enough events."""
START_SECONDS = 30.0
LONGEST_SECONDS = 600.0

Expected = Mapping[str, bytes]
"""Key to the profile that it must have, canonical JSON. Where it is a sample, other keys are not looked at."""


class WrongOutputError(RuntimeError):
    """A system did the wrong job, so its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One system in a contest, and what it is given."""

    system: System
    inputs: tuple[str, ...]
    events: int
    expected: Callable[[], Expected] | None = None
    """Worked out once and only when needed; None where there is no output to check."""
    is_sample: Callable[[bytes], bool] = lambda key: True
    """Which keys `expected` covers."""
    app: str | None = None
    """A fixed name of the run, for input that is bound to it (a changelog). Its topics are then left alone."""
    runs: int | None = None
    """Fewer runs than the others: for slow peers where they are no competition."""


@dataclass(slots=True)
class Bench:
    """One run of the benchmarks: the broker, the place for files, and what was asked for."""

    topics: Topics
    directory: Path
    runs: int
    quick: bool
    java: bool
    check_only: bool
    """Small inputs, one run, no figures: does every program do its job?"""
    report: Callable[[str], None]
    failures: list[str] = field(default_factory=list)
    _number: "itertools.count[int]" = field(default_factory=itertools.count)

    def scaled(self, events: int, *, quick: int, check: int = 2_000) -> int:
        """Return how many events this kind of run takes."""
        return check if self.check_only else quick if self.quick else events

    def peopled(self, workload: Workload) -> Workload:
        """Return the workload, for a mere check with so few people that each has several events."""
        return replace(workload, users=max(100, workload.users // 5_000)) if self.check_only else workload

    def fill(self, name: str, messages: Iterable[Message]) -> None:
        """Make the input topic and publish the messages to the topics that they name."""
        self.topics.create(name)
        count = self.topics.fill(messages)
        self.report(f"input {name}: {count:,} events")

    def ready(self, systems: Iterable[System]) -> list[System]:
        """Return the systems that can run here, built; reports why the others cannot."""
        found = []
        for system in systems:
            if system.java and not self.java:
                continue
            try:
                system.prepare()
            except PeerUnavailableError as error:
                self.failures.append(f"{system.name} was left out: {error}")
                self.report(self.failures[-1])
            else:
                found.append(system)
        return found

    def contest(self, suite: str, workload: str, entries: Sequence[Entry]) -> list[Result]:
        """Run every entry `runs` times, in turn, and return one row each. An entry that fails leaves the contest."""
        samples: dict[str, list[Sample]] = {entry.system.name: [] for entry in entries}
        checked: dict[str, str] = {}
        running = list(entries)
        for number in range(self.runs):
            for entry in list(running):
                name = entry.system.name
                if entry.runs is not None and number >= entry.runs:
                    continue
                try:
                    sample, checks = self._run_one(entry, check=number == 0)
                except (RunFailedError, WrongOutputError, TimeoutError) as error:
                    self.failures.append(f"{suite}, {workload}, {name}: {error}")
                    self.report(self.failures[-1])
                    running.remove(entry)
                    continue
                samples[name].append(sample)
                checked.setdefault(name, checks)
                self.report(
                    f"{suite}, {workload}, run {number + 1}: {name} {sample.events_per_s:,.0f}/s, "
                    f"{sample.cpu_us_per_event:.1f} us, {sample.peak_rss_mb:.0f} MiB{', ' + checks if checks else ''}"
                )
        return [
            Result.of(
                samples[entry.system.name],
                suite=suite,
                workload=workload,
                system=entry.system.name,
                guarantee=entry.system.guarantee,
                versions=entry.system.versions(),
                checked=checked[entry.system.name],
                quick=self.quick,
            )
            for entry in running
        ]

    def job(self, entry: Entry) -> Job:
        """Return a fresh job for an entry: new application name, new output topic, empty state directory."""
        number = next(self._number)
        slug = re.sub(r"[^a-z0-9]+", "-", entry.system.name.lower()).strip("-")
        app = entry.app or f"{PREFIX}-run{number}-{slug}"
        state = self.directory / f"run{number}-{slug}" / "state"
        state.mkdir(parents=True)
        output = f"{PREFIX}-run{number}-{slug}-out"
        self.topics.create(output, compact=True)
        return Job(self.topics.bootstrap, app, entry.inputs, output, entry.events, state)

    def fresh(self, name: str) -> tuple[str, Path]:
        """Return a prefix for topics and a directory that nobody has used."""
        number = next(self._number)
        directory = self.directory / f"run{number}-{name}"
        directory.mkdir()
        return f"{PREFIX}-run{number}-{name}-", directory

    def tidy(self, job: Job) -> None:
        """Remove what a run left behind."""
        self.topics.delete(job.output.removesuffix("-out") + "-")
        shutil.rmtree(job.state.parent, ignore_errors=True)

    def verify(self, entry: Entry, job: Job) -> str:
        """Compare the system's profiles with what they must be, and return how many there were.

        Raises:
            WrongOutputError: a profile differs or is missing; names the first ones and their fields.
        """
        if entry.expected is None:
            return ""
        topic = entry.system.result_topic(job)
        found = self.topics.latest(topic, wanted=entry.is_sample)
        comparison: Comparison = compare(
            {key.decode(): canonical_json(value) for key, value in found.items()}, entry.expected()
        )
        if not comparison.same:
            raise WrongOutputError(f"its output (left) is not what it must be (right): {comparison}")
        return f"{comparison.equal:,} profiles checked, {self.topics.records(topic):,} records written"

    def _run_one(self, entry: Entry, *, check: bool) -> tuple[Sample, str]:
        job = self.job(entry)
        timeout_seconds = START_SECONDS + min(entry.events / SLOWEST_EVENTS_PER_S, LONGEST_SECONDS)
        try:
            sample = run(entry.system.command(job), job.state.parent, timeout_seconds=timeout_seconds)
            return sample, self.verify(entry, job) if check else ""
        finally:
            self.tidy(job)
