"""launch.py RESULT COMMAND...: run one command and write what wait4 says of it to RESULT, as JSON.

A program of its own and small on purpose: on Linux a child's peak memory starts at its parent's size at the fork, so
a harness that holds a million expected profiles would give its own size to a small child. Ends the command when it is
ended itself, or when its parent has ended.
"""

import ctypes
import json
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024
"""Of ru_maxrss."""

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)


def end(number: int, frame: FrameType | None) -> None:
    os.kill(child, signal.SIGKILL)


signal.signal(signal.SIGTERM, end)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as result:  # noqa: PTH123  (pathlib would only make this process larger)
    json.dump(
        {
            "exit_code": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_rss_mb": usage.ru_maxrss * BYTES_PER_UNIT / (1 << 20),
        },
        result,
    )
