"""Odd input: whatever a person types, a command ends with a sentence and an exit code, never with a traceback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from streams.cli.verbs import cli
from tests.contract.test_command_line import WAITS_FOR_KAFKA, leaves
from tests.integration.cli.test_control_commands import run, settings, topics

__all__ = ["run", "settings", "topics"]

JOB = "--authorization nobody --client c"
ODD = {
    "auth add": ["--id x --tokens /nothing", "--id x --tokens /", "--id x"],
    "auth login": ["--id x"],
    "auth remove": ["nobody"],
    "auth rename": ["nobody x", "nobody"],
    "auth test": ["nobody", "../x"],
    "job create-export": [f"{JOB} --list l", f"{JOB} --list l --field nonsense", f"{JOB} --list l --removal-guard 7"],
    "job create-import": [JOB, f"{JOB} --interval 0", f"{JOB} --since 99999-01-01", f"{JOB} --activity nothing"],
    "job edit": ["nobody --name x", "nobody", "nobody --nothing"],
    "job check": ["nobody"],
    "job show": ["nobody"],
    "job start": ["nobody"],
    "job stop": ["nobody"],
    "job remove": ["nobody"],
    "apply": ["-f /nothing", "-f /"],
    "get jobs": ["nobody"],
    "audit": ["--last 0"],
    "token create": ["--role nobody", "nobody --role king"],
    "token revoke": ["nobody"],
    "job confirm-removals": ["nobody"],
    "job read-again": ["nobody"],
    "acls": ["--process nothing"],
    "account clients": ["--authorization nobody"],
    "account lists": ["--authorization nobody --client c"],
    "account fields": ["--authorization nobody --list l"],
    "account segments": ["--authorization nobody --list l"],
    "export plan": ["nobody"],
    "export reconcile": ["nobody", "nobody --repair"],
    "import run": ["nobody", "nobody --dry-run", "nobody --watch"],
    "import status": ["nobody"],
    "send-event": ["--email nobody --enter vip", "--email a@x.com --enter vip --at 0000-00-00"],
    "receipts": ["--email nobody"],
    "explain": ["nothing", "cm_user --dir /nothing", "cm_user --dir /dev/null"],
    "mapping check": ["/nothing", "/", "/dev/null"],
    "mapping show": ["nothing", "--dir /nothing", "--dir /dev/null"],
    "mapping rebuild": ["--switch", "--diff"],
    "profile show": ["nobody", "nobody@example.com"],
    "erase": ["nobody", "a@x.com --from-list l", "a@x.com --from-list l --authorization nobody", "a@x.com --wait 0"],
    "reset": ["nobody nothing", "cm-export audience-membership", "cm-export audience-membership --to 2026"],
    "stores discard": ["export", "nobody"],
    "stores copy": ["profiles --from nothing"],
    "dead-letters list": ["nothing", "../x"],
    "dead-letters show": ["cm_user 0:7", "cm_user nothing", "nothing 0:0"],
    "dead-letters replay": ["nothing", "cm_user 0:7", "cm_user x:y"],
    "dead-letters discard": ["nothing --all", "cm_user", "cm_user 0-1"],
    "completion": ["tcsh"],
    "simulator": ["--port many", "--port 99999", "--host nowhere.invalid", "--now yesterday"],
    "up": [""],
    "demo": [""],
}
"""Command -> arguments that it refuses, on a broker with empty topics."""
TAKES_ALL = {
    *("auth list", "auth new-key", "auth reseal", "job list", "export audiences", "lag", "check-topics", "validate"),
    *("eval", "dead-letters count", "stores restore", "token list"),
}
"""There is nothing that they refuse: they take no names, or answer each line of their input by itself."""


def test_each_command_is_tried() -> None:
    found = set(leaves(typer.main.get_command(cli)))
    assert ODD.keys() | TAKES_ALL | WAITS_FOR_KAFKA == found
    assert not ODD.keys() & TAKES_ALL


def lines() -> Iterator[str]:
    """Every command line of the table."""
    yield from (f"{command} {arguments}".strip() for command, odd in ODD.items() for arguments in odd)


@pytest.mark.usefixtures("topics")
def test_odd_input_ends_with_a_sentence(
    run: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del run
    unusable = tmp_path / "file"
    unusable.touch()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.topic_prefix,
        "KAFKA_PARTITIONS": "2",
        "STREAMS_DATA_DIR": str(unusable),
        "CM_BASE_URL": "http://127.0.0.1:1/api/v3.3",
        "CONTROL_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    }
    monkeypatch.chdir(tmp_path)
    wrong = []
    for line in lines():
        done = CliRunner().invoke(cli, line.split(), env=environment, input="")
        raised = done.exception
        if not (raised is None or isinstance(raised, SystemExit)):
            wrong.append(f"{line}: {type(raised).__name__}: {raised}")
        elif done.exit_code not in {1, 2, 3, 78} or not done.stderr.strip() or "Traceback" in done.output:
            wrong.append(f"{line}: {done.exit_code}: {done.output}")
    assert wrong == []
