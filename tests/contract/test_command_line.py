"""Every verb of `cm-streams`, found in the code: what it does when no broker answers, or a setting is wrong."""

import ast
import inspect
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from connectors import logs
from connectors.control.crypto import new_key
from connectors.devkit.simulator.settings import SimulatorSettings
from streams.batches import ExitCode
from streams.cli import CONFIGURATION_ERROR
from streams.cli import __main__ as start
from streams.cli import verbs as command_line
from streams.cli.exit_codes import MEANINGS, UNUSUAL, USUAL
from streams.cli.export import CANNOT_PREVIEW
from streams.cli.verbs import VERBS, cli
from streams.readme import SETTINGS

NEEDS_KAFKA: dict[str, str] = {
    "auth add": "--id x",
    "auth login": "x --description y --no-browser",
    "auth list": "",
    "auth rename": "x y",
    "auth remove": "x",
    "auth test": "x",
    "auth reseal": "",
    "token create": "x",
    "token list": "",
    "token revoke": "0123abcd",
    "job create-export": "--authorization a --client c --list l",
    "job create-import": "--authorization a --client c",
    "job edit": "x --name y",
    "job list": "",
    "job check": "x",
    "job show": "x",
    "job start": "x",
    "job stop": "x",
    "job remove": "x",
    "job confirm-removals": "x",
    "job read-again": "x",
    "apply": "-f /dev/null",
    "get jobs": "",
    "audit": "",
    "account clients": "--authorization x",
    "account lists": "--authorization x",
    "account fields": "--authorization x --list l",
    "account segments": "--authorization x --list l",
    "send-event": "--email a@example.com --enter vip",
    "receipts": "",
    "export audiences": "",
    "export plan": "x",
    "export reconcile": "x",
    "import run": "x",
    "import status": "",
    "mapping rebuild": "",
    "profile show": "a@example.com",
    "erase": "a@example.com",
    "lag": "",
    "reset": "group topic",
    "stores restore": "profiles",
    "stores discard": "export",
    "stores copy": "profiles --from cm_profile",
    "check-topics": "",
    "dead-letters count": "",
    "dead-letters list": "",
    "dead-letters show": "cm_user 0:0",
    "dead-letters replay": "cm_user",
    "dead-letters discard": "cm_user --all",
    "up": "",
    "demo": "",
}
"""Verb -> arguments that are enough to reach the broker."""
WAITS_FOR_KAFKA = {"worker profiles", "worker export", "connector", "webhooks", "console"}
"""Processes wait for their brokers: a restart of a broker must not end them."""
WITHOUT_KAFKA = {
    "simulator",
    "auth new-key",
    "validate",
    "mapping check",
    "mapping show",
    "eval",
    "explain",
    "completion",
    "acls",
}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that does something, by the words that are typed."""
    if isinstance(command, TyperGroup):
        for name in command.list_commands(typer.Context(command)):
            yield from leaves(command.get_command(typer.Context(command), name), (*path, name))
    else:
        yield " ".join(path)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(logs, "configure", lambda *_args, **_kwargs: None)
    for name, value in {
        "CAMPAIGN_MONITOR_API_KEY": "k",
        "CONTROL_ENCRYPTION_KEY": new_key(),
        "STREAMS_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)


def ended(monkeypatch: pytest.MonkeyPatch, verb: str) -> object:
    """The exit code of a verb."""
    monkeypatch.setattr(sys, "argv", ["cm-streams", *verb.split(), *NEEDS_KAFKA[verb].split()])
    with pytest.raises(SystemExit) as end:
        start.main()
    return end.value.code


def test_each_verb_is_in_one_of_the_tables() -> None:
    verbs = set(leaves(typer.main.get_command(cli)))
    assert verbs == NEEDS_KAFKA.keys() | WAITS_FOR_KAFKA | WITHOUT_KAFKA
    assert {verb.split()[0] for verb in verbs} == VERBS.keys()


@pytest.mark.parametrize("verb", sorted(NEEDS_KAFKA))
def test_without_a_broker_each_verb_ends_with_one_sentence(
    verb: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:  # bound and not listening: nobody else gets the port meanwhile
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        began = time.monotonic()
        code = ended(monkeypatch, verb)
        seconds = time.monotonic() - began
    written = capfd.readouterr()
    assert (code, written.out) == (78, ""), written
    assert written.err.count("\n") == 1, written.err
    assert written.err.startswith(f"No Kafka broker answered at {address} ")
    assert "KAFKA_BOOTSTRAP_SERVERS" in written.err
    assert seconds < 5


@pytest.mark.parametrize("verb", sorted(NEEDS_KAFKA.keys() | WAITS_FOR_KAFKA | WITHOUT_KAFKA))
def test_the_help_of_each_verb_names_its_options_whole(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["cm-streams", *verb.split(), "--help"])
    with pytest.raises(SystemExit) as end:
        command_line.main()
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert not re.search(r"--[\w-]+-$", shown, re.MULTILINE), "an option is wrapped at a hyphen"
    options = [option for parameter in found(verb).params for option in parameter.opts if "--" in option]
    assert all(option in shown.split() for option in options)


def test_the_help_of_an_edit_is_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is required of an edit, and no broker is needed for its help; with an id and options it is the same."""
    shown = []
    for words in ("--help", "some-job --help", "some-job --audience vip -h"):
        monkeypatch.setattr(sys, "argv", ["cm-streams", "job", "edit", *words.split()])
        with pytest.raises(SystemExit) as end:
            command_line.main()
        assert end.value.code == 0
        shown.append(capsys.readouterr().out)
    assert len(set(shown)) == 1
    assert shown[0].startswith("Usage: cm-streams job edit [OPTIONS] {JOB}")
    options = shown[0].partition("Options:")[2]
    assert "required" not in options
    assert "default it has" in options
    assert {"--clear", "--audience", "--interval", "--no-update-only"} <= set(options.split())
    assert not {"--id", "--replace", "--yes", "--stopped"} & set(options.split())


@pytest.mark.parametrize("verb", ["job list", "lag"])
def test_a_broker_that_hangs_ends_with_one_sentence(
    verb: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert ended(monkeypatch, verb) == 78
        assert time.monotonic() - began < 6
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("verb", sorted(NEEDS_KAFKA))
@pytest.mark.parametrize(("setting", "value"), [("KAFKA_TOPICS", "{bad"), ("KAFKA_PARTITIONS", "many")])
def test_a_wrong_setting_is_named_by_each_verb(
    verb: str, setting: str, value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv(setting, value)
    assert ended(monkeypatch, verb) == 78
    written = capfd.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1, written.err
    assert setting in written.err
    assert value not in written.err


def test_what_is_printed_as_a_table_is_there_as_json() -> None:
    """A function that prints a table knows whether JSON is wanted instead, and a command has the option for it."""
    wrong = []
    for path in sorted(Path(command_line.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            called = {
                call.func.id
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }
            known = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            if called & {"print_table", "table_of"} and "as_json" not in known and node.name not in NO_COMMANDS:
                wrong.append(f"{path.name}: {node.name}")
    assert wrong == []


NO_COMMANDS = {"topics_as_table", "lag_as_table"}
"""They make a table for a command that has the option."""


def test_default_ports_never_collide() -> None:
    """Several processes share a host or a container: each port that is not chosen free has a default of its own."""
    defaults = [
        (f"{settings.__name__}.{name}", field.default)
        for settings in (*SETTINGS, SimulatorSettings)
        for name, field in settings.model_fields.items()
        if name == "port" or name.endswith("_port")
    ]
    assert len(defaults) >= 4
    fixed = [port for _name, port in defaults if port]
    assert len(fixed) == len(set(fixed)), defaults


PRINTS_NO_DATA = {
    "what runs, and writes a log": {"up", "demo", *WAITS_FOR_KAFKA, "simulator"},
    "an id or a key": {
        "auth add",
        "auth login",
        "auth new-key",
        "auth reseal",
        "token create",
        "job create-export",
        "job create-import",
    },
    "one sentence of what was done": {
        "auth rename",
        "auth remove",
        "job edit",
        "job start",
        "job stop",
        "token revoke",
        "job remove",
        "job confirm-removals",
        "job read-again",
        "dead-letters replay",
        "dead-letters discard",
        "stores copy",
        "mapping check",
        "apply",
    },
    "JSON lines in any case": {"eval", "erase"},
    "source text": {"mapping show", "completion", "get jobs"},
}
"""What is printed without data in it, or as data in any case -> commands."""


@pytest.mark.parametrize("verb", sorted(NEEDS_KAFKA.keys() | WITHOUT_KAFKA))
def test_each_command_that_prints_data_prints_json_when_it_is_asked_for(verb: str) -> None:
    has = any("--json" in parameter.opts for parameter in found(verb).params)
    assert has != any(verb in verbs for verbs in PRINTS_NO_DATA.values())


def found(verb: str) -> Any:
    """The command of a verb."""
    command: Any = typer.main.get_command(cli)
    for word in verb.split():
        command = command.get_command(typer.Context(command), word)
    return command


def shown_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str) -> set[int]:
    monkeypatch.setattr(sys, "argv", ["cm-streams", *verb.split(), "--help"])
    with pytest.raises(SystemExit):
        command_line.main()
    listed = capsys.readouterr().out.partition("\nExit codes:\n")[2]
    return {int(code) for code in re.findall(r"^  (\d+) +\S", listed, re.MULTILINE)}


def test_the_help_has_all_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown_codes(monkeypatch, capsys, "") == {*ExitCode, CONFIGURATION_ERROR, 1, 2, CANNOT_PREVIEW, 130}


@pytest.mark.parametrize("verb", sorted(NEEDS_KAFKA.keys() | WAITS_FOR_KAFKA | WITHOUT_KAFKA))
def test_the_help_of_each_command_has_its_exit_codes(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that its code ends with, as it is written: 3 and 1 by name, 78 of all that has settings or brokers."""
    codes = shown_codes(monkeypatch, capsys, verb)
    source = inspect.getsource(found(verb).callback)
    assert codes >= {0, 2}
    assert (CONFIGURATION_ERROR in codes) == (verb in NEEDS_KAFKA.keys() | WAITS_FOR_KAFKA | {"simulator", "acls"})
    assert (CANNOT_PREVIEW in codes) == ("CANNOT_PREVIEW" in source)
    assert 1 in codes or not re.search(r"FAILED|NO_PROFILE|_fail\(|Exit\(1|with_jobs|refusals\(", source)
    assert codes >= set(ExitCode) or not verb.startswith("worker ")


def test_the_table_of_exit_codes_names_only_commands_that_exist() -> None:
    named = UNUSUAL.keys() | {command for command, _code in MEANINGS}
    assert named <= NEEDS_KAFKA.keys() | WAITS_FOR_KAFKA | WITHOUT_KAFKA
    assert all(code in UNUSUAL.get(command, USUAL) for command, code in MEANINGS)


def test_messages_and_docs_name_only_commands_that_exist() -> None:
    known = set(leaves(typer.main.get_command(cli)))
    groups = {verb.split()[0] for verb in known if " " in verb}
    root = Path(__file__).parents[2]
    files = [*root.glob("docs/*.md"), root / "README.md"]
    files += [path for room in ("streams", "connectors", "schemas") for path in (root / room).rglob("*.py")]
    wrong = []
    for path in files:
        for first, second in re.findall(r"`cm-streams ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", path.read_text()):
            named = f"{first} {second}" if first in groups and second else first
            if named not in known and named not in groups:
                wrong.append(f"{path.relative_to(root)}: cm-streams {named}")
    assert wrong == []
