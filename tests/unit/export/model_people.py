"""What the model knows about people: statements about them in order, and what they did themselves."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

ENTER, EXIT, SNAP_IN, SNAP_OUT = 2, 3, 0, 1


@dataclass
class Act:
    """Something that a person did: when (seconds of the day), and how many writes there had been."""

    how: str
    at: float
    seq: int
    webhook: bool = True
    """Whether it was reported."""


@dataclass(eq=False)
class Statement:
    """What upstream stated about a person and an audience."""

    at: float
    rank: int
    audience: str
    first: bool = False
    """It is of the first snapshot of somebody who was not known before."""
    step: int = 0
    """When it was published, for the last time."""

    @property
    def enters(self) -> bool:
        """Whether the person is inside by it."""
        return self.rank in (ENTER, SNAP_IN)


@dataclass
class Person:
    """What the model knows about somebody."""

    addresses: list[str]
    statements: list[Statement] = field(default_factory=list)
    fields: dict[str, dict[float, Any]] = field(default_factory=dict)
    """Values of upstream's fields by their time."""
    acts: list[Act] = field(default_factory=list)
    since: float = 0.0
    """When they had their last new address: what is dated before is not about them there."""
    mixed: bool = False
    """They had somebody else's address, or became one with somebody: what was done under which is not followed."""
    no_entry: bool = False
    """Since they were deleted permanently nothing came that enters them."""
    deletion_read: bool = False
    """The worker has read that they were."""

    @property
    def email(self) -> str:
        """The address now."""
        return self.addresses[-1]

    @property
    def unseen(self) -> bool:
        """Whether the last act of their own was not reported."""
        return bool(self.acts) and not self.acts[-1].webhook

    def value(self, name: str) -> Any:
        """The latest value of a field; None: there is none, or it was cleared."""
        values = self.fields.get(name)
        return values[max(values)] if values else None

    def everywhere(self) -> list[str]:
        """All addresses that the list may have of the person."""
        return [*self.addresses, *dict.fromkeys(work for work in self.fields.get("work", {}).values() if work)]

    def address(self, email_field: str) -> str | None:
        """The address that the list should have."""
        return self.email if email_field == "email" else self.value(email_field)

    def move(self, address: str, at: float) -> None:
        """Have a new address."""
        self.addresses.append(address)
        self.since = at

    def merge(self, other: "Person") -> None:
        """Be the same person as somebody, who has the address that is to be ours."""
        self.addresses[:0] = other.addresses
        self.statements = sorted([*self.statements, *other.statements], key=lambda new: new.step)
        self.acts = sorted([*self.acts, *other.acts], key=lambda act: act.seq)
        for name, values in other.fields.items():
            self.fields.setdefault(name, {}).update(values)
        self.mixed = True

    def restate(self, statements: Collection[Statement], step: int) -> None:
        """Know statements again that were published again: a repetition is a later record of the same instant."""
        again = [known for known in self.statements if known in statements]
        for known in again:
            known.step = step
        self.statements = [*(known for known in self.statements if known not in again), *again]

    def last(self) -> dict[str, Statement]:
        """The statement in force by audience: the latest one; of one instant a change, then the later record."""
        last: dict[str, Statement] = {}
        for new in self.statements:
            known = last.get(new.audience)
            if known is None or (new.at, new.rank in (ENTER, EXIT)) >= (known.at, known.rank in (ENTER, EXIT)):
                last[new.audience] = new
        return last

    def inside(self, audiences: Iterable[str]) -> set[str]:
        """Those of the audiences that the person is in."""
        last = self.last()
        return {audience for audience in audiences if audience in last and last[audience].enters}

    def counts(self, audiences: Iterable[str], started: float) -> bool | None:
        """Whether a job without existing users exports the person; None: the model does not know."""
        last = self.last()
        if any(last[name].at >= started and last[name].rank in (ENTER, EXIT) for name in audiences if name in last):
            return True
        later = [new for new in self.statements if new.audience in audiences and new.at >= started and not new.first]
        return None if later else False
