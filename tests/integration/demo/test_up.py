"""`cm-streams up`: the demonstration ends as expected, and Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from tests.deadline import within

UP = [sys.executable, "-m", "streams.cli", "up"]
SETTINGS = ("KAFKA_", "CM_", "STREAMS_", "CONTROL_", "WEBHOOK_", "PROFILE_", "IMPORT_", "EXPORT_")


def environment(data_dir):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {**clean, "STREAMS_DATA_DIR": str(data_dir), "COLUMNS": "160"}


def processes_of(data_dir):
    """Return the processes that work in a data directory: by their arguments, or by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(data_dir) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [process for process in found if process.pid != os.getpid()]


@pytest.mark.slow
def test_the_demonstration_ends_as_expected(tmp_path):
    data_dir = tmp_path / "data"
    done = subprocess.run([*UP, "--once"], env=environment(data_dir), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differs" not in done.stdout
    assert "lag of all groups" in done.stdout
    within(10, lambda: not processes_of(data_dir))


@pytest.mark.slow
def test_ctrl_c_stops_everything(tmp_path):
    data_dir = tmp_path / "data"
    process = subprocess.Popen(
        UP,
        env=environment(data_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    running = threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line)
            if line.startswith("running after"):
                running.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert running.wait(120), "".join(lines)
        assert len(processes_of(data_dir)) > 4
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0, "".join(lines)
    finally:
        if process.poll() is None:
            process.kill()
        reader.join(5)
    within(10, lambda: not processes_of(data_dir))
