"""Topic `cm_membership-commands`: what the owner of one membership row asks of another's owner. Internal.

{"do": "leave", "to": "new@...", "at": ms}                  key: the old address; see below
{"do": "arrive", "from": "old@...", "at": ms, "row": {...}}   key: the new address
{"do": "renamed", "list": "...", "lent": ms}                 key: the old address; who left it then is not on it now
{"do": "resend", "list": "...", "missing": ms}              key: a person; what the list holds is not trusted
{"do": "readdress", "list": "...", "from": "old@...", "to": "new@...", "at": ms}  key: who is on the list under "from"
{"do": "erase", "at": ms}                                   key: a person, who is forgotten
{"do": "claim", "list": "...", "by": "...", "number": n, ...}  key: an address that the person `by` is to have on a list
{"do": "answer", "list": "...", "address": "...", "number": n, "state": n}  key: the person who claimed it

Records may come twice; each command may be repeated. The transferred row is opaque here: only the export reads it.
"leave" is published to `audience-membership`, with the header `LEAVE`: so everything that upstream published about the
old address before is read before it.
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
class Renamed:
    """Whoever left this address at `lent` (milliseconds) has the new one on the list: what is left is this row's."""

    list_id: str
    lent: int


@dataclass(frozen=True, slots=True)
class Resend:
    """Send the person to the list again, whatever it is recorded to hold."""

    list_id: str
    missing: int = 0
    """When the list was read and did not know the person (milliseconds); 0: it does."""


@dataclass(frozen=True, slots=True)
class Readdress:
    """A subscriber changed their address at Campaign Monitor; upstream goes on with the former one."""

    list_id: str
    former: str
    to: str
    at: int
    """When they did, as a webhook reported (milliseconds)."""


@dataclass(frozen=True, slots=True)
class Erase:
    """Forget the person; requested at that time (milliseconds)."""

    at: int


@dataclass(frozen=True, slots=True)
class ClaimAddress:
    """A person under another key is to have this address on a list, or is not any more."""

    list_id: str
    by: str
    number: int
    """Greater with each change of what the person wants; the answer repeats it."""
    wants: bool = True
    successor: str | None = None
    """The key that the person has now: it takes the claim over."""
    removed: int = 0
    """When a job took the address, active until then, off the list (milliseconds); 0: no job did."""


@dataclass(frozen=True, slots=True)
class AnswerClaim:
    """What became of a person's claim to an address: a state of `streams/export/rules/row.py`."""

    list_id: str
    address: str
    number: int
    state: int
    removed: int = 0
    """As in the claim of whoever had the address before."""


MembershipCommand = BeginTransfer | ReceiveTransfer | Renamed | Resend | Readdress | Erase | ClaimAddress | AnswerClaim

LEAVE = "export.leave"
"""Header of a `BeginTransfer` in `audience-membership`."""


def read_command(value: bytes | None) -> MembershipCommand:
    """Read a record's value. Raises ValueError with a sentence for anything that is no command, and nothing else."""
    try:
        body = orjson.loads(value or b"")
        match body["do"]:
            case "leave":
                return BeginTransfer(str(body["to"]), int(body["at"]))
            case "arrive":
                return ReceiveTransfer(str(body["from"]), int(body["at"]), orjson.dumps(body["row"]))
            case "renamed":
                return Renamed(str(body["list"]), int(body["lent"]))
            case "resend":
                return Resend(str(body["list"]), int(body.get("missing", 0)))
            case "readdress":
                return Readdress(str(body["list"]), str(body["from"]), str(body["to"]), int(body["at"]))
            case "erase":
                return Erase(int(body["at"]))
            case "claim":
                successor = body.get("to")
                claim = str(body["list"]), str(body["by"]), int(body["number"]), bool(body["wants"])
                removed = int(body.get("removed", 0))
                return ClaimAddress(*claim, None if successor is None else str(successor), removed)
            case "answer":
                answer = str(body["list"]), str(body["address"]), int(body["number"]), int(body["state"])
                return AnswerClaim(*answer, int(body.get("removed", 0)))
            case other:
                raise ValueError(f"do: no command is called {str(other)[:20]!r}")
    except (KeyError, TypeError, OverflowError) as fault:
        raise ValueError(f"no command: {fault!r}") from None


def command_bytes(command: MembershipCommand) -> bytes:
    """Return the value of a command's record; its key is the address whose owner is to act."""
    match command:
        case BeginTransfer(to=to, at=at):
            return orjson.dumps({"do": "leave", "to": to, "at": at})
        case ReceiveTransfer(former=former, at=at, transferred_row=row):
            return orjson.dumps({"do": "arrive", "from": former, "at": at, "row": orjson.Fragment(row)})
        case Renamed(list_id=list_id, lent=lent):
            return orjson.dumps({"do": "renamed", "list": list_id, "lent": lent})
        case Resend(list_id=list_id, missing=missing):
            return orjson.dumps({"do": "resend", "list": list_id} | ({"missing": missing} if missing else {}))
        case Readdress(list_id=list_id, former=former, to=to, at=at):
            return orjson.dumps({"do": "readdress", "list": list_id, "from": former, "to": to, "at": at})
        case Erase(at=at):
            return orjson.dumps({"do": "erase", "at": at})
        case ClaimAddress(list_id=list_id, by=by, number=number, wants=wants, successor=to, removed=removed):
            claim = {"do": "claim", "list": list_id, "by": by, "number": number, "wants": wants}
            return orjson.dumps(claim | ({} if to is None else {"to": to}) | ({"removed": removed} if removed else {}))
        case AnswerClaim(list_id=list_id, address=address, number=number, state=state, removed=removed):
            answer = {"do": "answer", "list": list_id, "address": address, "number": number, "state": state}
            return orjson.dumps(answer | ({"removed": removed} if removed else {}))
