"""The process allocates from one heap, however many threads it has."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, threading
from types import SimpleNamespace
from streams.batches.process import run_process

async def start():
    libc = ctypes.CDLL(None)
    threads = [threading.Thread(target=libc.malloc, args=(1000,)) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    libc.malloc_stats()
    os._exit(0)

run_process(SimpleNamespace(settings=SimpleNamespace(gc_threshold=100_000, app_id="one-heap")), start=start, stop=start)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such heaps")
def test_a_process_has_one_heap() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Arena 0:" in done.stderr
    assert "Arena 1:" not in done.stderr
