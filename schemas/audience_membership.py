"""Topic `audience-membership`: who entered or left which audience. Written by upstream systems."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, RootModel

from schemas.envelope import Contract, Message


class Audience(Contract):
    """One audience of the upstream system."""

    id: str = Field(
        min_length=1, max_length=250, description="Stable id; a changed name under the same id is a rename."
    )
    name: str = Field(
        min_length=1,
        max_length=250,
        description="What people read: the option of the audiences field, and the name of the segment.",
    )


class Person(Message):
    """What every membership event holds about the person."""

    email: str = Field(description="The person's e-mail address; normalised, it is the record's key.")
    previous_email: str | None = Field(
        default=None,
        description="The address the person had before, when it changed: their subscriber is updated in place.",
    )
    user: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="The person's fields, by upstream's names; export jobs map them to custom fields. "
        "A field left out keeps its last value, null clears it.",
    )


class AudienceChange(Person):
    """The person entered or left one audience."""

    change: Literal["enter", "exit"] = Field(
        description="Whether the person is now in the audience or not. Each enter states that they entered at `at`, "
        "and may make somebody active again who left the list before; what only changes fields is a snapshot."
    )
    audience: Audience


class AudienceSnapshot(Person):
    """The person's audiences are exactly these, as of `at`; every other one is left."""

    change: Literal["snapshot"]
    audiences: list[Audience] = Field(description="All audiences of the person; empty when there are none.")


class AudienceMembership(RootModel[Annotated[AudienceChange | AudienceSnapshot, Field(discriminator="change")]]):
    """A change of one audience, or a snapshot of all. The last by `at` wins, per person and audience."""

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read one message. Raises pydantic's ValidationError, also when the bytes are no JSON."""
        return cls.model_validate_json(value)

    def to_bytes(self) -> bytes:
        """Write the message as JSON in UTF-8."""
        return self.root.to_bytes()
