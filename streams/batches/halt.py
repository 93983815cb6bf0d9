"""Ending the process at once, with its reason in the log. What was not settled comes again."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import structlog

from .errors import ExitCode

log = structlog.get_logger(__name__)

exit_process: Callable[[int], NoReturn] = os._exit
"""`sys.exit` inside of Faust's services can hang in "Stopping" for ever. Tests put something else here."""


def halt(code: ExitCode, message: str, *, stacks: bool = False, **fields: object) -> None:
    """Log, flush, and end the process with `code`. `stacks`: print what every thread is doing."""
    with contextlib.suppress(Exception):
        tell = log.info if code is ExitCode.CLEAN else log.critical
        tell("process ends", code=int(code), reason=message, **fields)
    with contextlib.suppress(Exception):
        if stacks:
            faulthandler.dump_traceback(all_threads=True)
    for handler in logging.getLogger().handlers:
        with contextlib.suppress(Exception):
            handler.flush()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    exit_process(int(code))
