"""Chromium for these tests: the machine's own, or Debian's, fetched once per user in half a minute."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from connectors.devkit.embedded_kafka.artifacts import PrintProgress, to_stderr
from tests.debian import is_debian, unpacked

PACKAGE = "chromium-headless-shell"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class NoChromiumError(RuntimeError):
    """There is no Chromium here, and no way to fetch one; the message names in one sentence what to install."""


class Chromium(NamedTuple):
    """A program, and the environment that it needs."""

    program: Path
    environment: dict[str, str]


def chromium(progress: PrintProgress = to_stderr) -> Chromium:
    """Return a browser, fetched first where there is none. Safe for several processes at once.

    Raises:
        NoChromiumError: none is installed, and this is no Debian.
        RuntimeError: it could not be fetched.
    """
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    if installed is not None:
        return Chromium(Path(installed), {})
    if not is_debian():
        raise NoChromiumError("The browser tests need Chromium, which is fetched on Debian only: install it.")
    return _unpacked(unpacked(PACKAGE, "chromium", libraries=True, size="110 MB", progress=progress))


def _unpacked(root: Path) -> Chromium:
    home = root / "usr" / "lib" / "chromium"
    libraries = {path.parent for path in (root / "usr" / "lib").rglob("*.so*")} - {home}
    return Chromium(
        home / PACKAGE,
        {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, sorted(libraries))),
            "XDG_DATA_HOME": str(root / "usr" / "share"),  # fonts that the machine lacks
        },
    )
