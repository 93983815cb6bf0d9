"""A custom field of a list, and what a write does to the values that a subscriber has in it.

Values are a tuple of (field number, text) pairs, in the order of the field numbers; a MultiSelectMany has one pair for
each selected option. Equal tuples are shared between subscribers: a million members of the same audiences cost eight
bytes each.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from connectors.devkit.simulator.data.value_rules import (
    MAX_VALUE,
    USUAL_RULES,
    TooLongError,
    ValueRules,
    is_too_long,
    meant_option,
    shortened,
)

COUNTRIES = tuple(
    """Afghanistan|Åland Islands|Albania|Algeria|American Samoa|Andorra|Angola|Anguilla|Antarctica|Antigua and Barbuda
Argentina|Armenia|Aruba|Australia|Austria|Azerbaijan|Bahamas|Bahrain|Bangladesh|Barbados|Belarus|Belgium|Belize|Benin
Bermuda|Bhutan|Bolivia|Bosnia and Herzegovina|Botswana|Bouvet Island|Brazil|British Indian Ocean Territory
Brunei Darussalam|Bulgaria|Burkina Faso|Burundi|Cambodia|Cameroon|Canada|Cape Verde|Cayman Islands
Central African Republic|Chad|Chile|China|Christmas Island|Cocos (Keeling) Islands|Colombia|Comoros|Congo
Congo, The Democratic Republic of The|Cook Islands|Costa Rica|Cote D'Ivoire|Croatia|Cuba|Curaçao|Cyprus|Czech Republic
Denmark|Djibouti|Dominica|Dominican Republic|Ecuador|Egypt|El Salvador|Equatorial Guinea|Eritrea|Estonia|Ethiopia
Falkland Islands (Malvinas)|Faroe Islands|Fiji|Finland|France|French Guiana|French Polynesia
French Southern Territories|Gabon|Gambia|Georgia|Germany|Ghana|Gibraltar|Greece|Greenland|Grenada|Guadeloupe|Guam
Guatemala|Guernsey|Guinea|Guinea-Bissau|Guyana|Haiti|Heard Island and McDonald Islands|Holy See (Vatican City State)
Honduras|Hong Kong|Hungary|Iceland|India|Indonesia|Iran, Islamic Republic of|Iraq|Ireland|Isle of Man|Israel|Italy
Jamaica|Japan|Jersey|Jordan|Kazakhstan|Kenya|Kiribati|Korea, Democratic People's Republic of|Korea, Republic of|Kosovo
Kuwait|Kyrgyzstan|Lao People's Democratic Republic|Latvia|Lebanon|Lesotho|Liberia|Libya|Liechtenstein|Lithuania
Luxembourg|Macao|Macedonia|Madagascar|Malawi|Malaysia|Maldives|Mali|Malta|Marshall Islands|Martinique|Mauritania
Mauritius|Mayotte|Mexico|Micronesia|Moldova|Monaco|Mongolia|Montenegro|Montserrat|Morocco|Mozambique|Myanmar|Namibia
Nauru|Nepal|Netherlands|New Caledonia|New Zealand|Nicaragua|Niger|Nigeria|Niue|Norfolk Island|Northern Mariana Islands
Norway|Oman|Pakistan|Palau|Palestinian Territory|Panama|Papua New Guinea|Paraguay|Peru|Philippines|Pitcairn|Poland
Portugal|Puerto Rico|Qatar|Reunion|Romania|Russia|Rwanda|Saint Barthelemy|Saint Helena|Saint Kitts and Nevis
Saint Lucia|Saint Martin|Saint Pierre and Miquelon|Saint Vincent and the Grenadines|Samoa|San Marino
Sao Tome and Principe|Saudi Arabia|Senegal|Serbia|Seychelles|Sierra Leone|Singapore|Sint Maarten|Slovakia|Slovenia
Solomon Islands|Somalia|South Africa|South Georgia and the South Sandwich Islands|South Sudan|Spain|Sri Lanka|Sudan
Suriname|Svalbard and Jan Mayen|Swaziland|Sweden|Switzerland|Syria|Taiwan|Tajikistan|Tanzania|Thailand|Timor-Leste
Togo|Tokelau|Tonga|Trinidad and Tobago|Tunisia|Turkey|Turkmenistan|Turks and Caicos Islands|Tuvalu|Uganda|Ukraine
United Arab Emirates|United Kingdom|United States Minor Outlying Islands|United States of America|Uruguay|Uzbekistan
Vanuatu|Venezuela|Vietnam|Virgin Islands, British|Virgin Islands, US|Wallis and Futuna|Western Sahara|Yemen|Zambia
Zimbabwe""".replace("\n", "|").split("|")
)

US_STATES = tuple(
    """Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|District of Columbia|Florida|Georgia
Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota
Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota
Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia
Washington|West Virginia|Wisconsin|Wyoming""".replace("\n", "|").split("|")
)


DATA_TYPES = ("Text", "Number", "MultiSelectOne", "MultiSelectMany", "Date", "Country", "USState")
SELECTS = ("MultiSelectOne", "MultiSelectMany")

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T]\d{2}:\d{2}(?::\d{2})?)?\Z")
# Exponents, other scripts' digits and the like are not documented: whoever sends them must not rely on them.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_FIRST_DATE, _LAST_DATE = date(1900, 1, 1), date(2076, 6, 6)
_SYSTEM_OPTIONS = {"Country": COUNTRIES, "USState": US_STATES}


@dataclass(slots=True)
class SimulatedField:
    """`number` stays when a rename gives another key: values are kept under it."""

    number: int
    name: str
    data_type: str
    options: list[str] = field(default_factory=list)
    visible: bool = True
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.rename(self.name)

    def rename(self, name: str) -> None:
        """Take another name, and with it another key."""
        self.name = name
        self.key = key_of(name)

    @property
    def many(self) -> bool:
        """Whether it holds several options at once."""
        return self.data_type == "MultiSelectMany"

    @property
    def choices(self) -> Iterable[str] | None:
        """The texts it takes, None when it takes any of its type."""
        return self.options if self.data_type in SELECTS else _SYSTEM_OPTIONS.get(self.data_type)

    def shown_options(self) -> list[str]:
        """Return the value of `FieldOptions`."""
        return list(self.options)

    def accept(self, text: str) -> str | None:
        """Return the value that is stored for a text, None when it is silently ignored."""
        if self.data_type == "Text":
            return text
        if self.data_type == "Number":
            return text.strip() if is_number(text) else None
        if self.data_type == "Date":
            return as_date(text)
        choices = self.choices
        return text if choices is not None and text in choices else None


def key_of(name: str) -> str:
    """Return the key that a name gives: only ASCII letters, digits and underscores stay, in brackets."""
    return f"[{re.sub('[^A-Za-z0-9_]', '', name)}]"


def bare(key: str) -> str:
    """Return a key as it is compared: without brackets and blanks, case folded."""
    return key.strip().removeprefix("[").removesuffix("]").replace(" ", "").casefold()


def fields_by_name(fields: Iterable[SimulatedField]) -> Mapping[str, SimulatedField]:
    """Return the fields by everything that names them in a subscriber's `Key`."""
    by_name: dict[str, SimulatedField] = {}
    for custom_field in fields:
        by_name.setdefault(bare(custom_field.name), custom_field)
    for custom_field in fields:
        by_name[bare(custom_field.key)] = custom_field
    return by_name


def is_number(text: str) -> bool:
    """Return True when a Number field accepts a text."""
    return _NUMBER.fullmatch(text.strip()) is not None


def as_date(text: str) -> str | None:
    """Return `YYYY-MM-DD` for a date in the accepted range, else None."""
    match = _DATE.match(text.strip())
    if match is None:
        return None
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return day.isoformat() if _FIRST_DATE <= day <= _LAST_DATE else None


FieldValues = tuple[tuple[int, str], ...]
OnDropped = Callable[[str, str, str], None]
"""Called with key, value and reason for everything that the API ignores without an error."""


class FieldEntry(NamedTuple):
    """One element of `CustomFields` in a request."""

    key: str
    value: str
    clear: bool


FieldEntries = tuple[FieldEntry, ...]


def read_entries(raw: Any) -> FieldEntries:
    """Return the entries of a `CustomFields` array. Raises ValueError for a shape that cannot be deserialised."""
    if raw is None:
        return ()
    if type(raw) is not list:
        raise ValueError("CustomFields")
    return tuple([_entry(item) for item in raw])


@lru_cache(maxsize=4_096)
def _shared_entry(key: str, value: str) -> FieldEntry:
    """Imports name the same few keys and options a thousand times: looking one up is cheaper than making it."""
    return FieldEntry(key, value, False)


def _entry(item: Any) -> FieldEntry:
    if type(item) is not dict:
        raise ValueError("CustomFields")
    key, value = item.get("Key"), item.get("Value")
    if len(item) == 2 and type(key) is str and type(value) is str:
        return _shared_entry(key, value)
    folded = {name.lower(): content for name, content in item.items()}
    key, value, clear = folded.get("key"), folded.get("value"), folded.get("clear", False)
    if not isinstance(key, str) or isinstance(value, (bool, list, dict)):
        raise ValueError("CustomFields")
    return FieldEntry(key, "" if value is None else str(value), clear in (True, "true", "True"))


def apply_entries(
    fields: Mapping[str, SimulatedField],
    old: FieldValues,
    entries: Sequence[FieldEntry],
    drop: OnDropped,
    rules: ValueRules = USUAL_RULES,
) -> FieldValues:
    """Return the values after a write.

    A field that is not named stays. A MultiSelectMany that is named holds exactly the options sent with it. `Clear`
    erases a field, or on a MultiSelectMany with a value that option only. Raises TooLongError where rules say so.
    """
    if not entries:
        return old
    single: dict[int, str] = {}
    selected: dict[int, list[str]] = {}
    cleared: dict[int, set[str]] = {}
    for key, value, clear in entries:
        field = fields.get(key) or fields.get(bare(key))
        if field is None:
            drop(key, value, "unknown key")
        elif clear:
            if field.many and value:
                cleared.setdefault(field.number, set()).add(value)
            elif field.many:
                selected.setdefault(field.number, [])
            else:
                single[field.number] = ""
        elif field.many:
            option = value if value in field.options else meant_option(field.options, value, rules)
            if option is not None:
                options = selected.setdefault(field.number, [])
                if option not in options:
                    options.append(option)
            else:
                drop(key, value, "unknown option")
        elif (accepted := _accepted(field, value, rules, drop)) is not None:
            single[field.number] = accepted
    if not (single or selected or cleared):
        return old
    for number, removed in cleared.items():
        current = selected.get(number)
        if current is None:
            current = [text for owner, text in old if owner == number]
        selected[number] = [text for text in current if text not in removed]
    kept = [pair for pair in old if pair[0] not in single and pair[0] not in selected]
    kept += [(number, text) for number, text in single.items() if text]
    kept += [(number, text) for number, texts in selected.items() for text in texts]
    kept.sort(key=_number)
    return tuple(kept)


def _number(pair: tuple[int, str]) -> int:
    return pair[0]


def _accepted(field: SimulatedField, value: str, rules: ValueRules, drop: OnDropped) -> str | None:
    """Return the text to store, "" for nothing, None to leave the field as it is."""
    if value == "" or (field.data_type == "Date" and value.startswith("0000-00-00")):
        return ""
    if is_too_long(value, rules):
        if rules.limit == "reject":
            raise TooLongError(field.key)
        drop(field.key, value, f"longer than {MAX_VALUE}, {'cut' if rules.limit == 'cut' else 'ignored'}")
        if rules.limit == "drop":
            return None
        value = shortened(value, rules)
    accepted = field.accept(value)
    if accepted is None and field.choices is not None:
        accepted = meant_option(field.choices, value, rules)
    if accepted is None:
        drop(field.key, value, f"no {field.data_type} value")
    return accepted
