"""Starts workers in 50 ms instead of a second: a process that has everything imported, and forks.

Each worker is a process of its own with its own file for what it says; it ends with the launcher, whatever happens.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.deadline import within

ROOT = Path(__file__).parents[3]


class Process:
    """A worker process."""

    def __init__(self) -> None:
        self.pid = 0
        self.exit_code: int | None = None
        """As subprocess has it: negative for a signal."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        within(seconds, lambda: self.exit_code is not None, every=0.005)
        assert self.exit_code is not None
        return self.exit_code


class Launcher:
    """The driver's side."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.batches.launcher"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes: dict[int, Process] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, config: dict[str, Any], environment: dict[str, str], output: Path) -> Process:
        """Fork a worker."""
        number = len(self._processes)
        self._processes[number] = process = Process()
        assert self._child.stdin
        line = {"number": number, "config": config, "environment": environment, "output": str(output)}
        self._child.stdin.write(json.dumps(line) + "\n")
        self._child.stdin.flush()
        within(30, lambda: process.pid, every=0.002)
        return process

    def close(self) -> None:
        """End, with every worker that is left."""
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(20)

    def _listen(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            report = json.loads(line)
            process = self._processes[report["number"]]
            if "pid" in report:
                process.pid = report["pid"]
            else:
                process.exit_code = report["exit_code"]


def serve() -> None:
    """The launcher's side: a line in, a fork; a death, a line out."""
    from tests.faults.batches import worker

    numbers: dict[int, int] = {}
    waiting = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.01)
        if ready:
            more = os.read(0, 1 << 20)
            if not more:
                for pid in numbers:
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, waiting = (waiting + more).split(b"\n")
            for line in lines:
                wanted = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    _become(wanted["environment"], wanted["output"])
                    worker.main(wanted["config"])
                    os._exit(1)
                numbers[pid] = wanted["number"]
                _tell(number=wanted["number"], pid=pid)
        while numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            _tell(number=numbers.pop(pid), exit_code=os.waitstatus_to_exitcode(status))


def _tell(**what: int) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def _become(environment: dict[str, str], output: str) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(number, target)
    if limit := environment.get("LARGEST_FILE"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))


if __name__ == "__main__":
    serve()
