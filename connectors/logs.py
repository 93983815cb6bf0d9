"""How every process logs: one structlog event a line, JSON or console, and never a secret.

A line is bounded in length, and an exception is its traceback without the values of variables: with them a request of
a stranger costs seconds, and what it holds reaches the log. Secrets are hidden in the rendered text, last of all: by
the form that they have anywhere, and the process's own by their value. Addresses of people are masked unless a setting
says otherwise: errors, keys of records and tracebacks quote them.
"""

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Literal

import structlog

from connectors.repeated_lines import RepeatedLines

LogFormat = Literal["json", "console"]

HIDDEN = "***"
MAX_VALUE = 2_000
"""Characters of one value of a log event; an API's error page, or a person's text, may have megabytes."""
MAX_TRACEBACK = 8_000
"""Its end is kept, where the error is; some 80 frames."""
MAX_LINE = 16_000
"""Characters of a whole line; log collectors split or drop what is longer."""

_SECRET_NAME = re.compile(
    r"(api_?key|encryption_?key|authorization_header|password|secret|token|credential|sealed)s?$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?i)\b(?:basic|bearer)\s+[a-z0-9+/=_.\-]{6,}"
    r"|(?<=//)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?<=/hooks/)[^\s/?#\"'<>]+/[^\s?#\"'<>]*"
    r"|(?<=[?&])(?:api_?key|access_token|refresh_token|token|code|client_secret)=[^&\s\"']+"
)
MASKED = "(address)"
"""Not the domain, which may be a person's own, nor a digest, which a list of known addresses undoes."""
_LOCAL = r"\w.+\-&!#$*^~"
_AT = "(?:@|%(?:25)?40)"
_RUN = rf"(?:[{_LOCAL}]|%(?!(?:25)?40))++"
_BEGIN = rf"(?:(?<![{_LOCAL}%])|(?<=%40)|(?<=%2540))"
_ADDRESS = re.compile(rf"{_BEGIN}{_RUN}(?:'{_RUN}){{0,3}}{_AT}(?:[\w\-]++\.)+[\w\-]{{2,}}")
"""An address in any text, also in a URL. Each run of characters is tried from its begin only: linear in the text."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""Line ends and tabs are left: tracebacks have them."""
_SHORTEST_SECRET = 8
"""Shorter settings are words that logs hold for other reasons."""


def configure(log_format: LogFormat, level: str, *, process: str, addresses: bool = False) -> None:
    """Send structlog and the standard library's loggers to standard error, in one format.

    What environment variables named like secrets hold now is hidden from then on. E-mail addresses are masked unless
    `addresses`.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        hide_secrets,
        *([] if addresses else [mask_addresses]),  # before values are cut: half an address has no form
        bounded,
        visible,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    formatter = _SafeFormatter(
        own_secrets(os.environ),
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: not str(record.msg).startswith("[^"))  # each step of each of Faust's services
    handler.addFilter(_without_requests)
    handler.addFilter(RepeatedLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These log every fetch, rebalance step and request; their warnings still come through.
    for noisy in ("aiokafka", "faust", "mode", "kafka", "aiohttp.access", "asyncio", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(process=process)


def own_secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what variables named like secrets hold, the longest first: one may be a part of another."""
    held = {value for name, value in environment.items() if _SECRET_NAME.search(name)}
    return tuple(sorted((value for value in held if len(value) >= _SHORTEST_SECRET), key=len, reverse=True))


def safe_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a rendered text without what looks like a secret, and without these."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _SECRET_TEXT.sub(HIDDEN, text)


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank out what is named like a secret, or looks like one, in every value of a log event."""
    for name, value in event.items():
        if _SECRET_NAME.search(name) and value is not None:
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = _SECRET_TEXT.sub(HIDDEN, value)
    return event


def mask_addresses(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put MASKED for each e-mail address in a log event, at any depth."""
    for name, value in event.items():
        event[name] = _without_addresses(value)
    return event


def _without_addresses(value: Any) -> Any:
    match value:
        case str():
            return _ADDRESS.sub(MASKED, value)
        case int() | float() | None:
            return value
        case dict():
            return {_without_addresses(key): _without_addresses(held) for key, held in value.items()}
        case list() | tuple():
            return [_without_addresses(held) for held in value]
        case _:  # rendered as this text
            text = repr(value)
            masked = _ADDRESS.sub(MASKED, text)
            return value if masked == text else masked


def bounded(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut every value of a log event that is longer than MAX_VALUE; of a traceback the end is kept."""
    for name, value in event.items():
        if isinstance(value, int | float | None):
            continue
        text = value if isinstance(value, str) else repr(value)
        if name in ("exception", "stack"):
            if len(text) > MAX_TRACEBACK:
                event[name] = f"{len(text) - MAX_TRACEBACK} characters left out ... {text[-MAX_TRACEBACK:]}"
        elif len(text) > MAX_VALUE:
            event[name] = f"{text[:MAX_VALUE]} ... {len(text) - MAX_VALUE} characters left out"
    return event


def visible(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape the control characters in every text of a log event: a terminal would obey them."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
    return event


class _SafeFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders a line, then hides secrets in it and bounds it: nothing is added to a line afterwards."""

    def __init__(self, secrets: tuple[str, ...], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = safe_text(super().format(record), self._secrets)
        if len(text) <= MAX_LINE:
            return text
        return f"{text[:MAX_LINE]} ... {len(text) - MAX_LINE} characters left out"


def _without_requests(record: logging.LogRecord) -> bool:
    """Make one line of a request that could not be parsed: the error quotes the request, and anybody can send one."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and type(error).__module__ == "aiohttp.http_exceptions":
        record.msg, record.args = "request cannot be parsed: %s", (type(error).__name__,)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info, record.exc_text = None, None
    return True
