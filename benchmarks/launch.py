"""launch.py RESULT COMMAND...: run one command and write what wait4 says of it to RESULT, as JSON.

A program of its own and small on purpose: on Linux a child's peak memory starts at its parent's size at the fork, so
a harness that holds a million expected profiles would give its own size to a small child.
"""

import json
import os
import signal
import sys
from types import FrameType

child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)


def end(number: int, frame: FrameType | None) -> None:
    os.kill(child, signal.SIGKILL)


signal.signal(signal.SIGTERM, end)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as result:  # noqa: PTH123  (pathlib alone would add a third to this process)
    json.dump(
        {
            "exit_code": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_rss_mb": usage.ru_maxrss / 1024,
        },
        result,
    )
