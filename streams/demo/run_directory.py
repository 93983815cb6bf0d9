"""The directory of one `make run`: held by one process at a time, and the file of settings for a shell in it."""

import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ENDING_SECONDS = 12.0
"""What the processes of a killed start may take to end: eight seconds from SIGTERM to SIGKILL (devkit/supervise.py)."""


class InUseError(RuntimeError):
    """The directory cannot be had; the text states why and what to do, in a sentence."""


class RunDirectory:
    """Holds a directory against other processes while it is entered.

    The lock is a file beside the directory, so that clearing the directory keeps it; the kernel releases it when the
    process that holds it, and those that got `held` from it, have ended, however they do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def held(self) -> tuple[int, ...]:
        """The lock, for the processes that use the directory: where this one is killed, they end a moment later."""
        return () if self._lock is None else (self._lock.fileno(),)

    @property
    def settings_file(self) -> Path:
        """A file that a shell can read with `source`."""
        return self.path / "env"

    def __enter__(self) -> Self:
        """Raises InUseError: another process holds it, or it cannot be written."""
        file = self.path.with_name(f"{self.path.name}.lock")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._lock = file.open("a+")
        except OSError as failure:
            raise InUseError(
                f"{file.parent} cannot be used ({failure.strerror}): name another directory with STREAMS_DATA_DIR"
            ) from None
        deadline = time.monotonic() + ENDING_SECONDS
        while not _locked(self._lock):
            holder = file.read_text().strip() or "unknown"
            if _runs(holder) or time.monotonic() > deadline:
                self._lock.close()
                raise InUseError(
                    f"Another `make run` (process {holder}) uses {self.path}, and was left alone: stop it with Ctrl-C, "
                    "or start this one in a directory of its own with STREAMS_DATA_DIR=.data-2 make run"
                )
            time.sleep(0.1)
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock.close()

    def clear(self) -> None:
        """Remove what an earlier start left behind."""
        shutil.rmtree(self.path, ignore_errors=True)

    def kept_settings(self) -> dict[str, str]:
        """Return what an earlier start wrote to its settings file; nothing where none got so far, or it was cleared."""
        try:
            lines = self.settings_file.read_text().splitlines()
        except OSError:
            return {}
        pairs = [line.removeprefix("export ").partition("=") for line in lines if line.startswith("export ")]
        return {name: "".join(shlex.split(value)) for name, _equals, value in pairs}

    def forget_settings(self, environment: MutableMapping[str, str]) -> None:
        """Take out of an environment what an earlier start wrote to its settings file: its broker has ended.

        Call it before `clear`. A shell that has read the file can start again; what it has set itself stays.
        """
        for name, value in self.kept_settings().items():
            if environment.get(name) == value:
                del environment[name]

    def write_settings(self, settings: Mapping[str, str]) -> Path:
        """Write settings to the file, for its owner only, and return it."""
        lines = [
            "# What this start of `make run` chose, for a shell. Keys and tokens are throw-away ones, for loopback.",
            *(f"export {name}={shlex.quote(value)}" for name, value in settings.items()),
        ]
        self.path.mkdir(parents=True, exist_ok=True)
        self.settings_file.unlink(missing_ok=True)
        descriptor = os.open(self.settings_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")
        return self.settings_file


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(process: str) -> bool:
    """Whether a process is there; True where its id is not known."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True
