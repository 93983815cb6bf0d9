"""`cm-streams`: what people and supervisors run. Each group of commands is a file; `__main__` lists them."""

from contextvars import ContextVar

broker_seconds: ContextVar[float] = ContextVar("broker_seconds", default=4.0)
"""How long this command waits for the brokers' first answer: the console script's --timeout."""

CONFIGURATION_ERROR = 78
"""Exit code of what settings or topics forbid (EX_CONFIG of sysexits.h): a restart cannot help."""
