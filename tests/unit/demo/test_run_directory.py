"""The directory of one `make run`: one process holds it, and its settings file is read by a shell."""

import os
import subprocess
import sys
import time

import pytest

from streams.demo.run_directory import InUseError, RunDirectory


def test_two_processes_never_hold_one_directory(tmp_path):
    with RunDirectory(tmp_path / "up") as first:
        first.path.mkdir()
        with pytest.raises(InUseError, match=rf"process {os.getpid()}.*STREAMS_DATA_DIR"):
            RunDirectory(tmp_path / "up").__enter__()
        first.clear()  # the lock is not in what is cleared
        with pytest.raises(InUseError):
            RunDirectory(tmp_path / "up").__enter__()
    with RunDirectory(tmp_path / "up"):
        pass


def test_the_lock_of_a_killed_process_is_released(tmp_path):
    code = "import os,sys; from pathlib import Path; from streams.demo.run_directory import RunDirectory; "
    code += "RunDirectory(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "up")]).returncode == -9
    with RunDirectory(tmp_path / "up"):
        pass


def test_the_processes_of_a_killed_start_are_waited_for(tmp_path):
    """A broker that is still closing its logs would write into the directory of the next one."""
    code = (
        "import os, subprocess, sys; from pathlib import Path; from streams.demo.run_directory import RunDirectory; "
        "directory = RunDirectory(Path(sys.argv[1])).__enter__(); "
        "subprocess.Popen(['sleep', '1.5'], pass_fds=directory.held, stdout=subprocess.DEVNULL); "
        "os.kill(os.getpid(), 9)"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "up")]).returncode == -9
    with RunDirectory(tmp_path / "up"):
        assert 1.5 < time.monotonic() - began < 10


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InUseError, match="STREAMS_DATA_DIR"):
        RunDirectory(tmp_path / "file" / "up").__enter__()


def test_a_shell_reads_the_settings_and_the_next_start_forgets_them(tmp_path):
    directory = RunDirectory(tmp_path / "up")
    odd = 'it\'s $HOME `x` "q"'
    file = directory.write_settings({"A_KEY": odd, "B_URL": "http://h:1/x"})
    assert file.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        ["bash", "-c", f'source {file}; printf "%s" "$A_KEY"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout == odd
    assert RunDirectory(tmp_path / "up").kept_settings() == {"A_KEY": odd, "B_URL": "http://h:1/x"}
    environment = {"A_KEY": odd, "B_URL": "http://mine", "PATH": "p"}
    directory.forget_settings(environment)
    assert environment == {"B_URL": "http://mine", "PATH": "p"}
    directory.clear()
    assert directory.kept_settings() == {}
