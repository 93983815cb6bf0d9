"""Chromium for these tests: the machine's own, or Debian's, fetched with apt into the user's cache directory.

Nothing is installed and no rights are needed: apt resolves with package lists of its own which libraries this machine
lacks, and the packages are only unpacked. Debian's signatures are checked by apt. It takes half a minute once per user.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from connectors.devkit.embedded_kafka.artifacts import PrintProgress, cache_directory, locked, to_stderr

PACKAGE = "chromium-headless-shell"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FETCH_SECONDS = 240


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
    cache = cache_directory().parent / "chromium"
    unpacked = cache / "unpacked"
    with locked(cache):
        if not unpacked.exists():
            _fetch(cache, unpacked, progress)
    return _unpacked(unpacked)


def is_debian() -> bool:
    """Whether Debian's packages fit this machine, and its programs to fetch them are there."""
    try:
        is_release = platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False
    return is_release and all(map(shutil.which, ("apt-get", "dpkg-deb")))


def _fetch(cache: Path, unpacked: Path, progress: PrintProgress) -> None:
    progress("chromium: fetching it with apt (about 110 MB, once)")
    work, partial = cache / "apt", cache / "partial"
    for directory in (work, partial):
        shutil.rmtree(directory, ignore_errors=True)
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "archives" / "partial").mkdir(parents=True)
    settings = {
        "Dir::State::Lists": f"{work / 'lists'}",
        "Dir::Cache": f"{work}",
        "Dir::Cache::Archives": f"{work / 'archives'}",
        "Debug::NoLocking": "true",  # nothing of the system is written, so its locks are not needed
        "APT::Sandbox::User": "root",  # another user could not write below a home directory
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Retries": "3",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    _run("apt-get", *options, "-qq", "update")
    _run("apt-get", *options, "-qq", "-y", "--no-install-recommends", "--download-only", "install", PACKAGE)
    for package in sorted((work / "archives").glob("*.deb")):
        _run("dpkg-deb", "-x", str(package), str(partial))
    shutil.rmtree(work)
    partial.rename(unpacked)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"Chromium could not be fetched: {command[0]}: {done.stderr.strip()}")


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
