"""Programs of Debian packages for tests: fetched with apt into the user's cache directory, and only unpacked.

Nothing is installed and no rights are needed: apt resolves with package lists of its own, and checks Debian's
signatures.
"""

import platform
import shutil
import subprocess
from pathlib import Path

from connectors.devkit.embedded_kafka.artifacts import PrintProgress, cache_directory, locked, to_stderr

FETCH_SECONDS = 240


def is_debian() -> bool:
    """Whether Debian's packages fit this machine, and its programs to fetch them are there."""
    try:
        is_release = platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False
    return is_release and all(map(shutil.which, ("apt-get", "dpkg-deb")))


def unpacked(package: str, name: str, *, libraries: bool, size: str, progress: PrintProgress = to_stderr) -> Path:
    """Return the directory that a package is unpacked in, fetched first where need be. Safe for several processes.

    `libraries`: with those that it needs and this machine lacks. `name`: of the directory in the cache.

    Raises:
        RuntimeError: it could not be fetched.
    """
    cache = cache_directory().parent / name
    found = cache / "unpacked"
    with locked(cache):
        if not found.exists():
            progress(f"{name}: fetching it with apt (about {size}, once)")
            _fetch(package, cache, found, libraries=libraries)
    return found


def _fetch(package: str, cache: Path, found: Path, *, libraries: bool) -> None:
    work, partial = cache / "apt", cache / "partial"
    for directory in (work, partial):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
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
    if libraries:
        _run("apt-get", *options, "-qq", "-y", "--no-install-recommends", "--download-only", "install", package)
    else:
        _run("apt-get", *options, "-qq", "download", package, cwd=work / "archives")
    for archive in sorted((work / "archives").glob("*.deb")):
        _run("dpkg-deb", "-x", str(archive), str(partial))
    shutil.rmtree(work)
    partial.rename(found)


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_SECONDS, cwd=cwd
    )
    if done.returncode != 0:
        raise RuntimeError(f"a Debian package could not be fetched: {command[0]}: {done.stderr.strip()}")
