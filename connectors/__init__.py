"""The edges: Kafka, Campaign Monitor, control topics, the import connector and the webhook receiver. No Faust."""

import sys

if not {"rich", "structlog"} & sys.modules.keys():
    # structlog imports rich for tracebacks with the values of variables, which nothing of ours may show: at each start
    # that would be a third of the time. greenlet is for a context that nothing of ours uses, and is there only with the
    # tests' tools. Here it finds neither, as where they are not installed.
    absent = [name for name in ("rich", "greenlet") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        import structlog  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
