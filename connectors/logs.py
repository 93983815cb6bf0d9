"""How every process logs: one structlog event a line, JSON or console, and never a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

LogFormat = Literal["json", "console"]

HIDDEN = "***"
_SECRET_NAME = re.compile(r"(api_?key|authorization_header|password|secret|token|credential|sealed)s?$", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?i)\b(basic|bearer)\s+[a-z0-9+/=_.\-]{6,}|(?<=//)[^/\s:@]+:[^/\s@]+(?=@)")


def configure(log_format: LogFormat, level: str, *, process: str) -> None:
    """Send structlog and the standard library's loggers to standard error, in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    if log_format == "json":
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(lambda record: not str(record.msg).startswith("[^"))  # each step of each of Faust's services
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These log every fetch, rebalance step and request; their warnings still come through.
    for noisy in ("aiokafka", "faust", "mode", "kafka", "aiohttp.access", "asyncio", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(process=process)


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank out what is named like a secret, or looks like one, in every value of a log event."""
    for name, value in event.items():
        if _SECRET_NAME.search(name) and value is not None:
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = _SECRET_TEXT.sub(HIDDEN, value)
    return event
