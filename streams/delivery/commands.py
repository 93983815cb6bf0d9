"""Topic `cm_membership-commands`: what one row's owner tells another's. Internal; at least once, repeatable.

{"do": "leave", "to": "new@...", "at": ms}                  key: the old address
{"do": "arrive", "from": "old@...", "at": ms, "row": {...}}   key: the new address
{"do": "resend", "list": "..."}                             key: a person; what the list holds is not trusted
{"do": "erase", "at": ms}                                   key: a person, who is forgotten
"""

from dataclasses import dataclass

import orjson

from streams.batches import Output
from streams.domain.rows import Millis, Row, decode, encode


@dataclass(frozen=True, slots=True)
class Leave:
    """The person of this row has another address since `at`."""

    to: str
    at: Millis


@dataclass(frozen=True, slots=True)
class Arrive:
    """The row that the person had under another address."""

    former: str
    at: Millis
    luggage: Row


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the person to the list again, whatever it is thought to hold."""

    list_id: str


@dataclass(frozen=True, slots=True)
class Erase:
    """Forget the person; asked for at that time."""

    at: Millis


Command = Leave | Arrive | Resend | Erase


def read(value: bytes | None) -> Command:
    """Read a command. Raises ValueError with a sentence."""
    try:
        body = orjson.loads(value or b"")
        match body["do"]:
            case "leave":
                return Leave(str(body["to"]), int(body["at"]))
            case "arrive":
                return Arrive(str(body["from"]), int(body["at"]), decode(orjson.dumps(body["row"])))
            case "resend":
                return Resend(str(body["list"]))
            case "erase":
                return Erase(int(body["at"]))
            case other:
                raise ValueError(f"do: no command is called {str(other)[:20]!r}")
    except (KeyError, TypeError) as fault:
        raise ValueError(f"no command: {fault!r}") from None


def write(topic: str, email: str, command: Command) -> Output:
    """Return the record of a command."""
    match command:
        case Leave(to=to, at=at):
            body = orjson.dumps({"do": "leave", "to": to, "at": at})
        case Arrive(former=former, at=at, luggage=luggage):
            body = orjson.dumps({"do": "arrive", "from": former, "at": at, "row": orjson.Fragment(encode(luggage))})
        case Resend(list_id=list_id):
            body = orjson.dumps({"do": "resend", "list": list_id})
        case Erase(at=at):
            body = orjson.dumps({"do": "erase", "at": at})
    return Output(topic, email.encode(), body)
