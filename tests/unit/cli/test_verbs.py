"""The command line: every verb of the table exists, and a wrong setting ends in a sentence that names it."""

import os
import subprocess
import sys

import pytest

from connectors.control.crypto import new_key
from streams.cli.verbs import VERBS


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_the_program_explains_itself():
    """Each verb does, in the process of the tests: tests/contract/test_command_line.py."""
    done = run("--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_an_unknown_verb_is_refused():
    assert run("nonsense").returncode == 2


def test_validate_prints_what_an_address_is_read_as():
    line = '{"email":"\\u00a0Ann@x.com","change":"enter","at":"2026-01-01T00:00:00Z","audience":{"id":"a","name":"A"}}'
    done = subprocess.run([sys.executable, "-m", "streams.cli", "validate"], input=line, capture_output=True, text=True)
    assert done.stdout == "line 1: email: is read as ann@x.com\n1 lines, all good\n"


@pytest.mark.parametrize("change", ['"maybe"', "7", "null", '["enter"]', "{}"])
def test_validate_names_every_change_that_there_is(change):
    line = f'{{"email":"a@x.com","change":{change},"at":"2026-01-01T00:00:00Z","audience":{{"id":"a","name":"A"}}}}'
    done = subprocess.run([sys.executable, "-m", "streams.cli", "validate"], input=line, capture_output=True, text=True)
    assert "change: Input should be 'enter', 'exit' or 'snapshot'" in done.stdout


@pytest.mark.parametrize(("count", "text"), [(0, "0 people are"), (1, "1 person is"), (2, "2 people are")])
def test_one_person_is_not_many(count, text):
    from streams.cli.export import _people

    assert _people(count) == text


@pytest.mark.parametrize("now", ["yesterday", "2026-05-01T12:00:00"])
def test_a_clock_of_the_simulator_that_is_none_is_named(now):
    done = run("simulator", "--now", now)
    assert (done.returncode, "--now" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_a_file_of_tokens_that_is_not_there_is_named(tmp_path):
    given = {"CONTROL_ENCRYPTION_KEY": new_key()}
    for file in (tmp_path, tmp_path / "none"):
        done = run("auth", "add", "--tokens", str(file), **given)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"--tokens {file} cannot be read: ")
