"""Prometheus' programs for tests: the machine's own, or Debian's."""

import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from tests.debian import is_debian, unpacked


def program(name: Literal["prometheus", "promtool"]) -> Path:
    """Return a program, fetched first where there is none; skips the test where that is not possible."""
    installed = shutil.which(name)
    if installed is not None:
        return Path(installed)
    if not is_debian():
        pytest.skip("This test needs Prometheus, which is fetched on Debian only: install it.")
    return unpacked("prometheus", "prometheus", libraries=False, size="40 MB") / "usr" / "bin" / name


def promtool(*arguments: str, given: str = "") -> str:
    """Run promtool; returns what it wrote. Fails with that where it found fault."""
    command = [str(program("promtool")), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
