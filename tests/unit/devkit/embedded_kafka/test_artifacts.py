"""The message when the embedded broker cannot be started."""

from pathlib import Path

import pytest

from connectors.devkit.embedded_kafka import artifacts


def program(directory: Path, name: str, text: str = "exit 0") -> Path:
    """Write a shell script that replaces a program."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an empty PATH and an empty cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)


def test_says_that_java_is_missing_and_what_to_install() -> None:
    with pytest.raises(
        artifacts.BrokerUnavailableError, match=r"Java 17 or newer and none was found: install it .*jre"
    ):
        artifacts.distribution(print)


def test_says_that_java_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "jdk8", "bin/java")
    (tmp_path / "jdk8/release").write_text('JAVA_VERSION="1.8.0_402"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk8"))
    with pytest.raises(artifacts.BrokerUnavailableError, match=r"is Java 8: install a newer one and set JAVA_HOME"):
        artifacts.find_java()


def test_says_that_maven_is_missing(tmp_path: Path) -> None:
    program(tmp_path / "bin", "java")
    with pytest.raises(artifacts.BrokerUnavailableError, match=r"mvn was not found: install it .*maven"):
        artifacts.distribution(print)


def test_tells_mavens_own_reason_and_tries_again_next_time(tmp_path: Path) -> None:
    program(tmp_path / "bin", "java")
    program(tmp_path / "bin", "mvn", "echo '[ERROR] Could not resolve kafka'; exit 1")
    for _ in range(2):
        with pytest.raises(artifacts.BrokerUnavailableError, match=r"\(Could not resolve kafka\): check the network"):
            artifacts.distribution(print)


def test_fetches_once_and_shows_progress(tmp_path: Path) -> None:
    program(tmp_path / "bin", "java")
    fetching = (
        "for a; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done; /bin/mkdir -p $d; : > $d/kafka_2.13-1.jar"
    )
    maven = program(tmp_path / "bin", "mvn", fetching)
    lines: list[str] = []
    first = artifacts.distribution(lines.append)
    assert lines == ["broker: fetching Apache Kafka 4.1.1 with Maven (about 45 MB, once)"]
    assert first.class_path == str(tmp_path / "cache/cm-streams/kafka-4.1.1/jars/kafka_2.13-1.jar")
    maven.unlink()
    assert artifacts.distribution(lines.append) == first
    assert len(lines) == 1
