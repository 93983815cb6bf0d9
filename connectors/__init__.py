"""The edges: Kafka, Campaign Monitor, control topics, the import connector and the webhook receiver. No Faust."""

import sys

if not {"rich", "structlog"} & sys.modules.keys():
    # structlog imports rich for tracebacks with the values of variables, which nothing of ours may show: at each start
    # that would be a third of the time. Here it finds none, as where rich is not installed.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
