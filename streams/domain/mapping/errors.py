"""What is wrong with a mapping, and where."""

from streams.domain.mapping.expressions import START, Position


class MappingError(ValueError):
    """A mapping text or a set of mappings that cannot be used; the message names file, line and column."""

    def __init__(self, problem: str, *, file: str = "<text>", at: Position = START, expected: str = "") -> None:
        self.problem = problem
        self.file = file
        self.line, self.column = at
        self.expected = expected
        """What could have stood there, in words; empty when the problem says it."""
        hint = f"; expected {expected}" if expected else ""
        super().__init__(f"{file}:{self.line}:{self.column}: {problem}{hint}")
