"""`python -m streams.cli` is `cm-streams`."""

from streams.cli import main

main()
