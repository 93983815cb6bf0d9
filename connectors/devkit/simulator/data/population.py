"""Subscribers that are computed, not held: the same seed gives the same million people."""

from array import array
from collections.abc import Iterable, Sequence

from connectors.devkit.simulator.data.fields import FieldValues, SimulatedField
from connectors.devkit.simulator.data.transitions import SimulatedState

GIVEN = tuple(
    """Mara|Liam|Nora|Emil|Zoë|Jonas|Freya|Amir|Chloé|Hugo|Ines|Tariq|Sofía|Wei|Yuki|Kwame|Leila|Oskar|Priya|Mateo
Anouk|Bram|Élise|Farid|Greta|Hana|Ivo|Juno|Kofi|Lotte""".replace("\n", "|").split("|")
)
FAMILY = tuple(
    """Doe|Janssens|Müller|Okafor|Tanaka|García|Rossi|Novak|Silva|Dubois|Larsen|Kowalski|O'Brien|Haddad|Singh|Nguyen
Petrov|Andersson|Moreau|Costa|Weber|Khan|Lindqvist|Peeters|Santos|Yilmaz|Ito|Brown|Smit|Vogel""".replace(
        "\n", "|"
    ).split("|")
)
CITIES = ("Ghent", "Auckland", "São Paulo", "New York", "Kyoto", "Lyon", "Malmö", "Porto", "Leeds", "Graz", "Perth")
MAIL_CLIENTS = ("", "Apple Mail", "Gmail", "Outlook", "Thunderbird", "Android")

# Of a hundred people: 84 Active, 6 Unsubscribed, 5 Bounced, 3 Deleted, 2 Unconfirmed, spread out.
_STATES = bytes(
    SimulatedState.UNSUBSCRIBED if n % 17 == 3 else
    SimulatedState.BOUNCED if n % 20 == 7 else
    SimulatedState.DELETED if n in (11, 48, 86) else
    SimulatedState.UNCONFIRMED if n in (29, 65) else
    SimulatedState.ACTIVE
    for n in range(100)
)  # fmt: skip
_CONSENTS = bytes(0 if n % 5 == 0 else 2 if n % 7 == 0 else 1 for n in range(35))
_MINUTE = 60
_COMBINED_OPTIONS = 8  # of a MultiSelectMany: 256 selections
_LONGEST_STAY = 90 * 86_400
_FOLDED_GIVEN = [name.encode("ascii", "ignore").decode().lower() for name in GIVEN]
_FOLDED_FAMILY = [name.encode("ascii", "ignore").decode().lower().replace("'", "") for name in FAMILY]


_MASK = (1 << 64) - 1


def mix(number: int) -> int:
    """Return 64 well-mixed bits of a number (splitmix64): the same ones each time, for data that is never stored."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


class Population:
    """`count` people of a list, numbered from `first_person`; two lists that share numbers share people.

    They joined evenly between `since` and `until` (seconds since 1970), on whole minutes.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        since: int,
        until: int,
        fields: Sequence[SimulatedField] = (),
        *,
        first_person: int = 0,
        all_active: bool = False,
        domain: str = "people.example",
    ) -> None:
        self.count = count
        self.since = since - since % _MINUTE
        self.until = until - until % _MINUTE
        self._seed = mix(seed)
        # An odd multiplier for each field turns the one number of a person into as many unlike ones.
        self._choices = [(mix(field.number) | 1, _choices(field)) for field in fields]
        self._first = first_person
        self._all_active = all_active
        self._domain = domain

    def email(self, row: int) -> str:
        """Return the address; a later row has a greater one."""
        person = row + self._first
        return f"p{person:07d}.{_FOLDED_GIVEN[person % 30]}.{_FOLDED_FAMILY[person // 30 % 30]}@{self._domain}"

    def name(self, row: int) -> str:
        """Return the full name; one in forty has none."""
        person = row + self._first
        return "" if person % 40 == 39 else f"{GIVEN[person % 30]} {FAMILY[person // 30 % 30]}"

    def find(self, folded: str) -> int | None:
        """Return the row of an address, None when it is none of these people."""
        if folded[:1] != "p" or not folded[1:8].isdigit():
            return None
        digits, _, _ = folded[1:].partition(".")
        row = int(digits) - self._first if digits.isdigit() else -1
        return row if 0 <= row < self.count and self.email(row) == folded else None

    def mail_client(self, row: int) -> str:
        """Return what the person reads e-mail with, "" when nobody knows."""
        return MAIL_CLIENTS[(row + self._first) * 40_503 // 256 % 6]

    def mobile(self, row: int) -> str | None:
        """Return the mobile number of one in twenty-five."""
        person = row + self._first
        return f"+3247{person % 10_000_000:07d}" if person % 25 == 4 else None

    def values(self, row: int) -> FieldValues:
        """Return the custom field values: about two of three fields are filled."""
        bits = mix(self._seed ^ (row + self._first))
        values: list[tuple[int, str]] = []
        for multiplier, choices in self._choices:
            draw = bits * multiplier >> 32 & 0xFFFFFF
            if draw % 3:
                values += choices[draw // 3 % len(choices)]
        return tuple(values)

    def states(self) -> bytearray:
        """Return the state of every row."""
        return bytearray(self.count) if self._all_active else _tiled(_STATES, self.count)

    def consents(self) -> bytearray:
        """Return the tracking consent of every row: 0 unknown, 1 yes, 2 no."""
        return _tiled(_CONSENTS, self.count)

    def joined(self) -> "array[int]":
        """Return when every row joined."""
        since, count, minutes = self.since, self.count, (self.until - self.since) // _MINUTE
        return array("q", (since + row * minutes // count * _MINUTE for row in range(count)))

    def changed(self, joined: "array[int]", states: bytearray) -> "array[int]":
        """Return when every row came to its state: on joining when Active, else up to ninety days later."""
        changed = joined[:]
        if not self._all_active:
            for row, state in enumerate(states):
                if state > SimulatedState.UNCONFIRMED:
                    stay = min(_LONGEST_STAY, self.until - joined[row])
                    changed[row] += mix(self._seed ^ row) % (stay // _MINUTE + 1) * _MINUTE
        return changed


def _choices(field: SimulatedField) -> tuple[FieldValues, ...]:
    """Return everything that the people of a list hold in a field, as it was when they were made."""
    if field.many:
        options = field.options[:_COMBINED_OPTIONS]
        subsets = range(1 << len(options))
        return tuple(
            tuple((field.number, text) for place, text in enumerate(options) if subset >> place & 1)
            for subset in subsets
        )
    match field.data_type:
        case "Number":
            texts: Iterable[str] = map(str, range(1_000))
        case "Date":
            texts = (f"{1950 + n % 70}-{1 + n // 70 % 12:02d}-{1 + n * 7 % 28:02d}" for n in range(840))
        case "Text":
            texts = CITIES
        case _:
            texts = field.choices or ()
    return tuple(((field.number, text),) for text in texts) or ((),)


def _tiled(pattern: bytes, count: int) -> bytearray:
    return bytearray((pattern * (count // len(pattern) + 1))[:count])
