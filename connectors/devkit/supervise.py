"""Runs one child process and sees to it that it never outlives us: `supervise.py DIRECTORY COMMAND...`.

A program of its own (standard library only, started with `-I -S`), because every lighter way leaks: a signal handler
does not run on SIGKILL, and PR_SET_PDEATHSIG fires when the *thread* that forked ends, which in a thread pool is any
time. It watches a pipe instead: our standard input ends when the owner has ended, however it did. DIRECTORY is removed
then, "-" for none. Should this program itself be killed, PR_SET_PDEATHSIG takes the child along (Linux).

Prints the child's process id, then nothing more; exits with the child's status.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1

GRACE_SECONDS = 8.0
"""From SIGTERM to SIGKILL. A broker at rest closes its logs in half a second; a paused one never answers.

`make run` promises that all have ended ten seconds after Ctrl-C."""


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends; elsewhere than on Linux do nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_owner(child: "subprocess.Popen[bytes]", directory: str, owner_ended: threading.Event) -> None:
    """Wait for the end of standard input, then end the child and remove its directory."""
    while os.read(0, 1024):
        pass
    owner_ended.set()
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if directory != "-":
        shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """Start the child, report its id, and wait for whichever ends first: the child or the owner."""
    directory, *command = sys.argv[1:]
    # This program has one thread at this point, so that running Python between fork and exec is safe.
    child = subprocess.Popen(  # noqa: S603 - the command of who started this program, no shell
        command, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=die_with_parent
    )
    owner_ended = threading.Event()
    ending = threading.Thread(target=end_with_owner, args=(child, directory, owner_ended), daemon=True)
    ending.start()
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    status = child.wait()
    if owner_ended.is_set():
        ending.join()
    return status


if __name__ == "__main__":
    status = main()
    # A signal as Python reports it (-9) becomes what a shell would say (137).
    sys.exit(status if status >= 0 else 128 - status)
