"""Records of a wrong type, keys that are markup or move a cursor, mapping files that look like code: as processes."""

import os
import signal
import subprocess
import sys
from collections import Counter

import orjson

from benchmarks.suites.poison import ACTIVITY, ACTIVITY_POISON
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from tests import kafka_io
from tests.deadline import within

CLI = [sys.executable, "-m", "streams.cli"]
KEYS = [b"[/x]", b"[bold]a", b"\x1b[31mred", "\u202eright".encode(), b"\xff\xfe", b"a@x.com"]
EMAIL = "clean@example.com"


def environment(settings, tmp_path):
    shared = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return {**shared, **settings, "STREAMS_DATA_DIR": str(tmp_path), "COLUMNS": "60"}


def test_poison_of_every_kind_becomes_dead_letters_that_are_shown_as_they_are(bootstrap_servers, namespace, tmp_path):
    kafka = KafkaSettings(_env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=1)
    ensure_topics(kafka, create=True)
    names = kafka.names()
    activity = names["cm_activity"]
    poison = [(KEYS[number % len(KEYS)], kind.value, list(kind.headers)) for number, kind in enumerate(ACTIVITY_POISON)]
    kafka_io.produce(bootstrap_servers, activity, poison)
    clean = orjson.dumps({**ACTIVITY, "email": EMAIL, "event_id": "clean"})
    kafka_io.produce(bootstrap_servers, activity, [(EMAIL.encode(), clean)])
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": namespace,
        "KAFKA_PARTITIONS": "1",
        "PROFILE_APP_ID": f"{namespace}profiles",
    }
    env = environment(settings, tmp_path)
    with (tmp_path / "log").open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.profile.run_worker"], env=env, stdout=output, stderr=output
        )
    try:
        profiles = names["cm_profile"]
        within(60, lambda: EMAIL.encode() in {record.key for record in kafka_io.read_all(bootstrap_servers, profiles)})
        assert worker.poll() is None, (tmp_path / "log").read_text()
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0, (tmp_path / "log").read_text()
    letters = kafka_io.read_all(bootstrap_servers, activity + ".dlq")
    assert Counter(letter.value for letter in letters) == Counter(value for _key, value, _headers in poison)
    shown = {}
    for words in (["count"], ["list", activity], ["list", activity, "--json"]):
        done = subprocess.run([*CLI, "dead-letters", *words], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert not [character for character in done.stdout if character in "\x1b\0"]
        shown[words[-1]] = done.stdout
    assert "\u202e" not in shown[activity]
    assert all(text in shown[activity] for text in ("[/x]", "[bold]a", "\\x1b[31mred", "\\u202eright"))
    assert shown["--json"].count("\n") == len(poison)


FILES = [
    'SELECT x AS a\n"""\nraise SystemExit(7)\n""" FROM s',
    'SELECT `a"""\nraise SystemExit(7)\n#` AS f FROM s',
    "SELECT x AS `f\nraise SystemExit(7)\n#` FROM s",
    "SELECT x AS f FROM `s\nraise SystemExit(7)\n#`",
    "SELECT 'x\\'); raise SystemExit(7) #' AS f FROM s",
]
SHOWN = """
import sys
from typer.testing import CliRunner
from streams.cli.verbs import cli
for number, _file in enumerate(sys.argv[1:]):
    for words in (["mapping", "check", f"{number}/s.lql"], ["mapping", "show", "--dir", str(number)]):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code in (0, 1), (words, done.exit_code, done.output)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
print("all shown")
"""


def test_a_mapping_file_is_never_code(tmp_path):
    """It is refused with its place, or its names and texts are data. All of them in one process."""
    for number, text in enumerate(FILES):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "s.lql").write_text(text)
    command = [sys.executable, "-c", SHOWN, *FILES]
    done = subprocess.run(command, env=environment({}, tmp_path), capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "all shown\n"), done.stderr
