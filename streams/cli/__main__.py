"""The start of `cm-streams`: the one command that is quick without the others, else all of them."""

import os
import sys

from streams.cli.quick import is_answered


def main() -> None:
    """Entry point."""
    if "_CM_STREAMS_COMPLETE" not in os.environ and is_answered(sys.argv[1:]):
        return
    from streams.cli.verbs import main as run

    run()


if __name__ == "__main__":
    main()
