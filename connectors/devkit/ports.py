"""Ports of loopback for processes that are started: chosen so that they can be taken again after a restart."""

import itertools
import random
import socket
from collections.abc import Sequence
from pathlib import Path

CHOSEN = range(20_000, 30_000)
"""Above what services are known by, below what systems give to outgoing connections."""
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
DEFAULT_OUTGOING = 32_768, 65_535
"""Contains what systems without that file use."""
UNPRIVILEGED = range(1_024, 65_536)


def free_ports(count: int) -> list[int]:
    """Return distinct ports that are free on loopback at this moment, at random.

    A process that listens on one of them and is killed can take it again: no outgoing connection gets it meanwhile,
    and whoever else chooses a port at that moment hardly draws the same.
    """
    ports = ports_to_choose(*outgoing_ports())
    # Not the module's own generator, which tests seed: all of them would draw the same.
    drawn = random.SystemRandom().sample(ports, len(ports))
    return list(itertools.islice(filter(is_free, drawn), count))


def is_free(port: int, *, lingering: bool = False) -> bool:
    """Return whether a port can be listened on; with `lingering` also where connections to it ended just now."""
    with socket.socket() as probe:
        if lingering:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def outgoing_ports() -> tuple[int, int]:
    """Return the first and the last port that the system gives to outgoing connections, and to a bind of port 0."""
    try:
        first, last = OUTGOING.read_text(encoding="ascii").split()
    except OSError:
        return DEFAULT_OUTGOING
    return int(first), int(last)


def ports_to_choose(first: int, last: int) -> Sequence[int]:
    """Return ports outside of `first` to `last`: those of CHOSEN, else all others, else, where none is left, CHOSEN."""
    for ports in (CHOSEN, UNPRIVILEGED):
        if found := [port for port in ports if not first <= port <= last]:
            return found
    return CHOSEN
