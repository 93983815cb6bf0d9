"""The exchange about addresses that several people of a list are to have, as the owner of a partition.

    1 rows with what was asked, answered or given back are written, and stay due
    2 the messages are acknowledged
    3 what was given back is dropped from the rows

A crash between them leaves the rows due: the next owner publishes the messages again.
"""

from collections.abc import Mapping, Sequence

from schemas.membership_command import command_bytes
from streams.batches import Output
from streams.batches import Row as TableRow
from streams.export.rules.claims import ClaimContext, ClaimMessage, drop_left, exchange
from streams.export.rules.desired import desired_subscriber
from streams.export.rules.due import mark_due
from streams.export.rules.jobs import ListView
from streams.export.rules.routing import AttemptState
from streams.export.rules.row import MembershipRow, decode, encode
from streams.export.sending.queue import QueuedPerson
from streams.export.state import ExportState, OwnedPartition
from streams.export.table import ExportRuntime


class ClaimExchange:
    """Settles claims before a request, for the few people who have any."""

    def __init__(self, state: ExportState, runtime: ExportRuntime, late_call_ms: int) -> None:
        self._state = state
        self._rows = runtime.rows
        self._publisher = runtime.publisher
        self._topic = runtime.names["cm_membership-commands"]
        self._wall = runtime.clocks.wall
        self._clock = runtime.clocks.monotonic
        self._late_call_ms = late_call_ms

    def outputs(self, messages: Sequence[ClaimMessage]) -> list[Output]:
        """Return the records of messages."""
        return [Output(self._topic, message.key.encode(), command_bytes(message.command)) for message in messages]

    def look_again(self, partition: int, row: TableRow[MembershipRow], listed: ListView | None) -> None:
        """Queue a person whose row has changed again, where that leads to something to exchange."""
        if listed is None or (listed.list_id not in row.data.claims and listed.list_id not in row.data.claimants):
            return
        opened, copy = self._state.open.get(listed.list_id), decode(encode(row.data))
        if opened is not None and exchange(copy, self._context(copy, row.key, listed), AttemptState()).changed:
            opened.touch(partition, row.key, self._clock())

    async def settle(
        self,
        owned: OwnedPartition,
        listed: ListView,
        people: Sequence[QueuedPerson],
        rows: Mapping[bytes, TableRow[MembershipRow]],
    ) -> dict[bytes, TableRow[MembershipRow]]:
        """Exchange what these people's claims need, and return the rows that changed, as they are then.

        Raises what reading, publishing and writing raise (`BatchError`).
        """
        changed: list[TableRow[MembershipRow]] = []
        messages: list[ClaimMessage] = []
        fewer_people = 0
        for person in people:
            key = person.key[1]
            row = rows[key]
            before = is_held(row.data, listed.list_id)
            result = exchange(row.data, self._context(row.data, key, listed), person.attempt)
            messages += result.messages
            if result.changed:
                mark_due(row.data)
                fewer_people += before - is_held(row.data, listed.list_id)
                changed.append(row)
        if changed:
            await self._rows.write_rows(owned.number, owned.generation, changed)  # 1
        owned.receipts.people[listed.list_id] -= fewer_people
        if messages:
            await self._publisher.publish_all(self.outputs(messages))  # 2
        if not changed:
            return {}
        again = await self._rows.read(owned.number, [row.key for row in changed])
        if left := [row for row in again.values() if drop_left(row.data)]:
            await self._rows.write_rows(owned.number, owned.generation, left)  # 3
            again |= await self._rows.read(owned.number, [row.key for row in left])
        return again

    def _context(self, row: MembershipRow, key: bytes, listed: ListView) -> ClaimContext:
        held, email = row.lists.get(listed.list_id), key.decode()
        desired = desired_subscriber(row, email, listed, held, self._state.names.option_of)
        return ClaimContext(email, listed.list_id, desired, self._wall(), self._late_call_ms)


def is_held(row: MembershipRow, list_id: str) -> bool:
    """Whether a list holds audiences of the person."""
    held = row.lists.get(list_id)
    return held is not None and bool(held.audiences)
