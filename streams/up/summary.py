"""What came out of the demonstration, beside what was expected. Pure: counting what Kafka and Campaign Monitor hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the summary; `expected` is None where there is nothing to hold it against."""

    what: str
    found: object
    expected: object | None = None

    @property
    def holds(self) -> bool:
        """Whether what was found is what was expected."""
        return self.expected is None or self.found == self.expected


def verdict(findings: Sequence[Finding]) -> int:
    """Return the exit code: 0 when every finding holds."""
    return 0 if all(finding.holds for finding in findings) else 1


def as_table(findings: Sequence[Finding]) -> Table:
    """Return the summary as people see it."""
    table = Table(title="What Kafka and Campaign Monitor hold now", title_justify="left")
    table.add_column("")
    table.add_column("found", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    for finding in findings:
        expected = "" if finding.expected is None else str(finding.expected)
        mark = "" if finding.expected is None else "[green]ok[/]" if finding.holds else "[bold red]differs[/]"
        table.add_row(finding.what, str(finding.found), expected, mark)
    return table
