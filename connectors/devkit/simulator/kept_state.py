"""A simulator's account in a file: it is there again when the simulator is started again, however it ended.

Left out is what belongs to one run: the request log, held and scheduled writes, and webhook posts under way.
"""

import asyncio
import os
import pickle
import time
from pathlib import Path

import structlog

from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.devkit.simulator.state import SimulatorState

log = structlog.get_logger(__name__)

SAVE_SECONDS = 1.0
"""What the end by a signal that cannot be handled may lose."""
SHARE_OF_TIME = 20
"""A large account takes longer to encode, and is saved less often for it: at most a twentieth of the time."""


class StateFile:
    """Reads and writes the file. It holds keys, so it is for its owner only, and nobody else's file is ever read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = b""

    def load(self, settings: SimulatorSettings) -> SimulatorState | None:
        """Return what an earlier run saved, with this run's API key; None where there is nothing to be read."""
        try:
            if self._path.stat().st_uid != os.getuid():
                return None
            state = pickle.loads(self._path.read_bytes())  # noqa: S301  (written by this user, below their data directory)
        except FileNotFoundError:
            return None
        except (
            OSError,
            pickle.UnpicklingError,
            EOFError,
            LookupError,
            ValueError,
            AttributeError,
            ImportError,
        ) as failure:
            log.warning("the account was not kept", file=str(self._path), reason=type(failure).__name__)
            return None
        if not isinstance(state, SimulatorState):
            return None
        state.keyring.accounts[settings.api_key] = state.account
        return state

    def save(self, state: SimulatorState) -> None:
        """Write the account where it has changed; a reader finds the former or the new one, whole."""
        encoded = pickle.dumps(state)
        if encoded == self._saved:
            return
        partial = self._path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encoded)
        partial.replace(self._path)
        self._saved = encoded

    async def keep(self, state: SimulatorState) -> None:
        """Save again and again until cancelled, and a last time then."""
        try:
            while True:
                began = time.perf_counter()
                self.save(state)
                await asyncio.sleep(max(SAVE_SECONDS, SHARE_OF_TIME * (time.perf_counter() - began)))
        finally:
            self.save(state)
