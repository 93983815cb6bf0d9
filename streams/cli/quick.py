"""`cm-streams profile show EMAIL`, answered without what other commands need: typer, pydantic, logs.

They take twice as long to import as the profile takes to be read. Only a profile that is there is printed here; a
failure is kept, and `profile show` raises it where it would have met it itself. So each sentence and exit code is made
in one place.
"""

import os
import sys
from collections.abc import Sequence

failures: list[BaseException] = []
"""What the quick way met; then nothing was printed."""


def address_in(arguments: Sequence[str]) -> str | None:
    """Return the address that `profile show` is asked for; None for any other command, and with other options."""
    if tuple(arguments[:2]) != ("profile", "show"):
        return None
    rest = list(arguments[2:])
    if "--json" in rest:
        rest.remove("--json")
    return rest[0] if len(rest) == 1 and not rest[0].startswith("-") else None


def is_answered(arguments: Sequence[str]) -> bool:
    """Print the profile that these arguments ask for. False: they ask for something else, or it has failed."""
    address = address_in(arguments)
    if address is None:
        return False
    try:
        return _print_profile(address, one_line="--json" in arguments)
    except BaseException as failure:  # also Ctrl-C: whoever raises it again knows what it means
        failures.append(failure)
        return False


def raise_failures() -> None:
    """Raise what the quick way met, so that it is not tried, and waited for, twice."""
    if failures:
        raise failures.pop()


def _print_profile(address: str, *, one_line: bool) -> bool:
    from connectors.kafka.plain_settings import plain_settings
    from schemas.identity import key_of, normalise_email

    email, settings = normalise_email(address), plain_settings(os.environ)
    if email is None or settings is None or not settings.bootstrap_servers:
        return False
    import logging

    import orjson

    from connectors.kafka.broker_check import check_brokers
    from streams.control.people import newest_profile

    logging.getLogger("librdkafka").setLevel(logging.CRITICAL + 1)
    check_brokers(settings)
    value = newest_profile(settings, key_of(email))
    if value is None:
        return False
    text = orjson.dumps(orjson.loads(value), option=0 if one_line else orjson.OPT_INDENT_2)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.flush()
    return True
