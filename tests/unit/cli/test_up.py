"""How `cm-streams up` ends: whatever it waits for, a signal ends it, and a second one ends it at once."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from streams.demo.demonstration import Demonstration

PROGRAM = """
import asyncio, time
from pathlib import Path
from streams.cli import up
from streams.demo.run_directory import RunDirectory

async def run(directory, *, once, demo):
    print("running", flush=True)
    {body}

up._run = run
raise SystemExit(asyncio.run(up._until_stopped(RunDirectory(Path("unused")), once=False, demo=False)))
"""
THREAD = "await asyncio.to_thread(time.sleep, 60)"
"""As the start of the broker, or a count of lag at a broker that is gone: no cancellation ends a thread."""
SLOW_STOP = """
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("body", "signals", "code"), [(THREAD, 1, 0), (SLOW_STOP, 2, 130)], ids=["thread", "second signal"]
)
def test_signals_end_it_whatever_it_waits_for(body, signals, code, number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout.readline() == "running\n"
        for _ in range(signals):
            process.send_signal(number)
            time.sleep(0.5)
        assert process.wait(3) == code
        assert "Traceback" not in process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_a_count_of_lag_has_ended_when_its_task_was_cancelled(monkeypatch):
    """The broker is stopped next: a count that goes on would wait for it."""
    ended = []
    demonstration = object.__new__(Demonstration)
    monkeypatch.setattr(demonstration, "_read_lag", lambda: (time.sleep(0.5), ended.append(True)), raising=False)
    counting = asyncio.create_task(demonstration._lag())
    await asyncio.sleep(0.1)
    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await counting
    assert ended == [True]
