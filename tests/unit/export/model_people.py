"""What the model knows about people: statements about them in order, and what they did themselves."""

from dataclasses import dataclass, field

ENTER, EXIT, SNAP_IN, SNAP_OUT = 2, 3, 0, 1


@dataclass
class Act:
    """Something that a person did: when (seconds of the day), and how many writes there had been."""

    how: str
    at: float
    seq: int


@dataclass
class Person:
    """What the model knows about somebody."""

    addresses: list[str]
    statements: list[tuple[float, int, str]] = field(default_factory=list)
    cities: dict[float, str] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    unseen: bool = False
    """The last act of their own was not reported."""
    exits_only: bool = False
    """Since they were deleted permanently nothing came but exits."""

    @property
    def email(self) -> str:
        """The address now."""
        return self.addresses[-1]

    def inside(self) -> set[str]:
        """The audiences that the person is in: the latest statement is in force."""
        last: dict[str, tuple[float, int]] = {}
        for at, rank, audience in self.statements:
            before = last.get(audience, (float("-inf"), SNAP_OUT))
            if (at, rank in (ENTER, EXIT)) >= (before[0], before[1] in (ENTER, EXIT)):
                last[audience] = (at, rank)  # of one instant the later record
        return {audience for audience, (_, rank) in last.items() if rank in (ENTER, SNAP_IN)}
