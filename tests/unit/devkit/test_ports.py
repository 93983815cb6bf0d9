"""Ports for processes that are started: none that an outgoing connection could get, and never the same for two."""

import random
import socket

import pytest

from connectors.devkit import ports
from connectors.devkit.ports import CHOSEN, free_ports, is_free, outgoing_ports, ports_to_choose


def test_no_outgoing_connection_gets_one() -> None:
    first, last = outgoing_ports()
    found = free_ports(200)
    assert len(set(found)) == 200
    assert not [port for port in found if first <= port <= last]
    assert all(is_free(port) for port in found)


@pytest.mark.parametrize(
    ("outgoing", "expected"),
    [
        ((32_768, 60_999), CHOSEN),
        ((25_000, 65_535), range(20_000, 25_000)),
        ((15_000, 65_000), [*range(1_024, 15_000), *range(65_001, 65_536)]),
        ((1_024, 65_535), CHOSEN),
    ],
)
def test_they_are_outside_of_what_the_system_gives_to_connections(outgoing, expected) -> None:
    assert list(ports_to_choose(*outgoing)) == list(expected)


def test_one_that_somebody_listens_on_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = free_ports(2)
    monkeypatch.setattr(ports, "CHOSEN", [one, other])
    with socket.create_server(("127.0.0.1", one)):
        assert [free_ports(1) for _ in range(10)] == [[other]] * 10


def test_a_seed_does_not_choose_them() -> None:
    random.seed(1)
    first = free_ports(5)
    random.seed(1)
    assert free_ports(5) != first


def test_without_the_system_s_file_nothing_above_32767_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(ports, "OUTGOING", tmp_path / "none")
    assert outgoing_ports() == (32_768, 65_535)
