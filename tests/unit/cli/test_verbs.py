"""The command line: every verb of the table exists, and a wrong setting ends in a sentence that names it."""

import os
import subprocess
import sys

import pytest

from streams.cli.__main__ import VERBS


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb):
    done = run(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_an_unknown_verb_is_refused():
    assert run("nonsense").returncode == 2
