"""Topic `cm_membership-commands`: what the owner of one membership row asks of another's owner. Internal.

{"do": "leave", "to": "new@...", "at": ms}                  key: the old address
{"do": "arrive", "from": "old@...", "at": ms, "row": {...}}   key: the new address
{"do": "resend", "list": "..."}                             key: a person; what the list holds is not trusted
{"do": "erase", "at": ms}                                   key: a person, who is forgotten

Records may come twice; each command may be repeated. The transferred row is opaque here: only the export reads it.
"""

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class BeginTransfer:
    """The person of this row has another address since `at` (milliseconds)."""

    to: str
    at: int


@dataclass(frozen=True, slots=True)
class ReceiveTransfer:
    """The row that the person had under another address, as the export encodes it (a JSON object)."""

    former: str
    at: int
    transferred_row: bytes


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the person to the list again, whatever it is recorded to hold."""

    list_id: str


@dataclass(frozen=True, slots=True)
class Erase:
    """Forget the person; requested at that time (milliseconds)."""

    at: int


MembershipCommand = BeginTransfer | ReceiveTransfer | Resend | Erase


def read_command(value: bytes | None) -> MembershipCommand:
    """Read a record's value. Raises ValueError with a sentence for anything that is no command."""
    try:
        body = orjson.loads(value or b"")
        match body["do"]:
            case "leave":
                return BeginTransfer(str(body["to"]), int(body["at"]))
            case "arrive":
                return ReceiveTransfer(str(body["from"]), int(body["at"]), orjson.dumps(body["row"]))
            case "resend":
                return Resend(str(body["list"]))
            case "erase":
                return Erase(int(body["at"]))
            case other:
                raise ValueError(f"do: no command is called {str(other)[:20]!r}")
    except (KeyError, TypeError) as fault:
        raise ValueError(f"no command: {fault!r}") from None


def command_bytes(command: MembershipCommand) -> bytes:
    """Return the value of a command's record; its key is the address whose owner is to act."""
    match command:
        case BeginTransfer(to=to, at=at):
            return orjson.dumps({"do": "leave", "to": to, "at": at})
        case ReceiveTransfer(former=former, at=at, transferred_row=row):
            return orjson.dumps({"do": "arrive", "from": former, "at": at, "row": orjson.Fragment(row)})
        case Resend(list_id=list_id):
            return orjson.dumps({"do": "resend", "list": list_id})
        case Erase(at=at):
            return orjson.dumps({"do": "erase", "at": at})
