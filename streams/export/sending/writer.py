"""One request and the answers for its subscribers: a method for each kind of call; no retry, no row.

Every method returns one `WriteResult` for each write. What an answer means is classified in `rules/outcome.py`; what
becomes of the row, in `sending/outcomes.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import NO_AUTORESPONDERS, Autoresponders
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from streams.batches import BatchError, kill_point
from streams.export.recovery.late_calls import look_again
from streams.export.rules.codes import ACTIVE, DELETED, INACTIVE, NOT_ON_LIST, UNCONFIRMED, UNSUBSCRIBED
from streams.export.rules.jobs import ExitPolicy
from streams.export.rules.outcome import (
    AddressTaken,
    Delivered,
    NotOnList,
    OrdersDone,
    RetryLater,
    SplitRequest,
    SubscriberRejected,
)
from streams.export.rules.routing import RequestKind, RequestRoute, is_gone, moves, stale_audiences
from streams.export.sending.consent import GONE, ListFacts, code_of, is_undated, why_refused
from streams.export.sending.imports import ImportAnswer, classified, desired_of, results_of, written_address
from streams.export.sending.plan import (
    STILL_WAITS,
    PlannedWrite,
    WriteResult,
    effects_of,
    matches,
    subscriber_of,
    without_audiences,
)
from streams.export.sending.renames import move_wait, rename

log = structlog.get_logger(__name__)
before_call, after_call = kill_point("before-call"), kill_point("after-call")

# Between two looks whether somebody may be made active whose earlier call may be applied still.
RETURN_SECONDS = 15.0


class ListWriter:
    """Makes the requests of one list."""

    def __init__(
        self,
        api: CampaignMonitor,
        list_id: str,
        option_of: Callable[[str], str],
        facts: ListFacts,
    ) -> None:
        self._api = api
        self._list_id = list_id
        self._option_of = option_of
        self._facts = facts

    async def write(
        self, route: RequestRoute, writes: Sequence[PlannedWrite], keys: Mapping[str, str]
    ) -> list[WriteResult]:
        """Make the request, and return what came back for each of its subscribers.

        An error that nobody expected is some person's, and splits the request until that one is alone. Raises only
        BatchError, when a removal cannot be published.
        """
        before_call()
        try:
            if route.kind is RequestKind.IMPORT:
                results = await self._import(route, writes, keys)
            else:
                results = [await self._one(route, write, keys) for write in writes]
            after_call()
            return results
        except BatchError:
            raise
        except Exception:
            log.exception("unexpected error in a request", list_id=self._list_id, people=len(writes))
            for write in writes:
                write.person.attempt.outcome_unknown = True
            return [WriteResult(write, SplitRequest(None)) for write in writes]

    async def read_back(self, write: PlannedWrite) -> Subscriber | None:
        """Read a subscriber that was just written; None when that is not possible."""
        try:
            return await self._api.subscribers.find(self._list_id, written_address(write))
        except CampaignMonitorError:
            return None

    async def _import(
        self, route: RequestRoute, writes: Sequence[PlannedWrite], keys: Mapping[str, str]
    ) -> list[WriteResult]:
        effects = effects_of(route, repeated=False)
        addressed = [(write, written_address(write)) for write in writes]
        subscribers = [subscriber_of(desired_of(write), address, keys) for write, address in addressed]
        answer: ImportAnswer
        try:
            answer = await self._api.subscribers.import_(self._list_id, subscribers, effects)
        except CampaignMonitorError as error:
            answer = error.verdict
        return results_of(writes, answer, effects, confirms=self._facts.confirms())

    async def write_import(self, body: bytes) -> ImportAnswer:
        """Make an import whose body is encoded already."""
        before_call()
        try:
            answer: ImportAnswer = await self._api.subscribers.import_encoded(self._list_id, body)
        except CampaignMonitorError as error:
            answer = error.verdict
        after_call()
        return answer

    async def _one(self, route: RequestRoute, write: PlannedWrite, keys: Mapping[str, str]) -> WriteResult:
        try:
            match route.kind:
                case RequestKind.UPDATE if _is_written_blindly(write):
                    effects = effects_of(route, repeated=write.person.attempt.outcome_unknown)
                    return await self._update(write, keys, effects)
                case RequestKind.REMOVE:
                    return await self._remove(write, keys)
                case RequestKind.CLEAR_AUDIENCES:
                    return await self._clear_audiences(write, keys)
                case RequestKind.VERIFY:
                    return await self._verify(write)
                case RequestKind.LOOK_AGAIN:
                    return await self._look_again(write, keys)
                case RequestKind.RENAME:
                    return await self._rename(write, keys)
                case _:
                    return await self._check_consent(route, write, keys)
        except CampaignMonitorError as error:
            return WriteResult(write, classified(error.verdict, write))

    async def _update(self, write: PlannedWrite, keys: Mapping[str, str], effects: Autoresponders) -> WriteResult:
        """PUT; the former address, when there is one, is changed in place."""
        desired, held = desired_of(write), write.held
        address = written_address(write)
        former = held.address if held is not None and moves(held, desired, write.person.attempt) else None
        subscriber = subscriber_of(desired, address, keys)
        try:
            await self._api.subscribers.update(self._list_id, former or address, subscriber, effects)
        except CampaignMonitorError as error:
            decision = classified(error.verdict, write)
            if isinstance(decision, AddressTaken) and former is not None:
                # Both addresses are on the list: the former one loses what it had, the other is written next.
                await self._api.subscribers.update(self._list_id, former, without_audiences(desired, (), former, keys))
            if isinstance(decision, NotOnList) and not desired.present:
                return WriteResult(write, Delivered(gone=True))
            if isinstance(decision, NotOnList) and former is None:
                return WriteResult(write, SubscriberRejected(NOT_ON_LIST, ""))
            return WriteResult(write, decision)
        waits = write.person.attempt.refused_code == UNCONFIRMED or (effects.resubscribe and self._facts.confirms())
        message = STILL_WAITS if waits else None
        return WriteResult(write, Delivered(), address, added=False, message=message)

    async def _remove(self, write: PlannedWrite, keys: Mapping[str, str]) -> WriteResult:
        """Clear the field, then take the person off the list: whoever comes back later finds no old audiences.

        Who left by themselves stays as they are: after a removal nobody could say who it was.
        """
        desired, address, attempt = desired_of(write), written_address(write), write.person.attempt
        try:
            code = code_of(await self._api.subscribers.find(self._list_id, address), ACTIVE)
            attempt.removing = attempt.removing or code == ACTIVE
            await self._api.subscribers.update(self._list_id, address, subscriber_of(desired, address, keys))
            if code in (ACTIVE, UNCONFIRMED):
                await self._take_off(address, desired.on_exit)
        except CampaignMonitorError as error:
            decision = classified(error.verdict, write)
            gone = isinstance(decision, NotOnList)
            if gone or (isinstance(decision, SubscriberRejected) and decision.code in INACTIVE):
                return WriteResult(write, Delivered(gone))
            return WriteResult(write, decision)
        ours = code in (ACTIVE, DELETED if desired.on_exit == "delete" else UNSUBSCRIBED)
        return WriteResult(write, Delivered(), removed=attempt.removing and ours)

    async def _take_off(self, address: str, how: ExitPolicy) -> None:
        """Unsubscribe or delete. Published before, so that whatever reports it, and whenever, is known to be ours."""
        await self._facts.announce_removal(address, how)
        if how == "delete":
            await self._api.subscribers.delete(self._list_id, address)
        else:
            await self._api.subscribers.unsubscribe(self._list_id, address)

    async def _clear_audiences(self, write: PlannedWrite, keys: Mapping[str, str]) -> WriteResult:
        """Remove what is no longer true from a subscriber that the list refuses; a changed address is changed."""
        desired, held = desired_of(write), write.held
        address = (held.address if held is not None else None) or written_address(write)
        to = written_address(write) if moves(held, desired, write.person.attempt) else address
        still = [audience for audience in (held.audiences if held is not None else ()) if audience in desired.audiences]
        kept = [self._option_of(audience) for audience in still]
        refused = SubscriberRejected(write.person.attempt.refused_code, "")
        try:
            await self._api.subscribers.update(self._list_id, address, without_audiences(desired, kept, to, keys))
        except CampaignMonitorError as error:
            decision = classified(error.verdict, write)
            unmoved = isinstance(decision, NotOnList | SubscriberRejected | AddressTaken)
            return WriteResult(write, refused if unmoved else decision)
        return WriteResult(write, refused, to)

    async def _verify(self, write: PlannedWrite) -> WriteResult:
        """Read the subscriber: was the request applied whose answer got lost?"""
        desired, address = desired_of(write), written_address(write)
        found = await self._api.subscribers.find(self._list_id, address)
        if found is not None and found.state.casefold() == "active" and matches(found, desired):
            return WriteResult(write, Delivered(), address)
        if found is None and is_gone(write.held, desired) and not moves(write.held, desired, write.person.attempt):
            return WriteResult(write, SubscriberRejected(DELETED, "", is_undated(desired, write.held)), message=GONE)
        return WriteResult(write, NotOnList(), not_applied=True)

    async def _look_again(self, write: PlannedWrite, keys: Mapping[str, str]) -> WriteResult:
        """Compare a subscriber with what should be there, now that calls without an answer are over."""
        looked = await look_again(self._api.subscribers, self._take_off, self._list_id, write, keys)
        if looked is None:
            return (await self._import(RequestRoute(RequestKind.IMPORT), [write], keys))[0]
        return WriteResult(write, looked.decision, looked.address, added=False, removed=looked.removed)

    async def _rename(self, write: PlannedWrite, keys: Mapping[str, str]) -> WriteResult:
        """Carry orders out: the subscriber of a former address gets the present one."""
        done = await rename(self._api.subscribers, self._take_off, self._list_id, write, keys, self._facts)
        desired = desired_of(write)
        if done.kind == "waits" and done.absent:
            return WriteResult(write, OrdersDone(done.absent))
        if done.kind == "waits":
            return WriteResult(write, RetryLater(move_wait(write.person.attempt), scope="person"))
        if done.kind == "refused" and desired.present:
            return WriteResult(write, SubscriberRejected(done.code, ""), message=done.message)
        decision = Delivered() if done.kind == "written" else OrdersDone()
        address = None if done.kind == "not there" else desired.address
        return WriteResult(write, decision, address, added=False, both_on_list=done.both_on_list)

    async def _check_consent(self, route: RequestRoute, write: PlannedWrite, keys: Mapping[str, str]) -> WriteResult:
        """Write to somebody who is active, or make them active again who left before they entered; else refuse them.

        An update answers 200 for whoever is on the list, whatever their state: so it is read first.
        """
        desired, attempt = desired_of(write), write.person.attempt
        moving = moves(write.held, desired, attempt)
        address = (write.held.address if moving and write.held is not None else None) or written_address(write)
        found = await self._api.subscribers.find(self._list_id, address)
        code = code_of(found, attempt.refused_code)
        if found is None and not code and is_gone(write.held, desired):
            moved = await self._api.subscribers.find(self._list_id, written_address(write)) if moving else None
            code = DELETED if moved is None else ACTIVE
        flags = NO_AUTORESPONDERS
        attempt.refused_code = code
        if code not in (ACTIVE, UNCONFIRMED):
            reason = await why_refused(found, code, address, desired, write.held, self._facts)
            if reason is not None:
                if found is None and code == DELETED:
                    gone = SubscriberRejected(code, "", is_undated(desired, write.held))
                    return WriteResult(write, gone, message=reason)
                refused = WriteResult(write, SubscriberRejected(code, ""), message=reason)
                stale = moving or stale_audiences(write.held, desired) or attempt.outcome_unknown
                cleared = await self._clear_audiences(write, keys) if stale else refused
                is_refused = isinstance(cleared.decision, SubscriberRejected)
                return replace(refused, address=cleared.address) if is_refused else cleared
            if attempt.return_waits:
                return WriteResult(write, RetryLater(RETURN_SECONDS, scope="person"))
            flags = effects_of(route, repeated=attempt.outcome_unknown)
        if moving or not desired.may_add or code == UNCONFIRMED:
            return await self._update(write, keys, flags)
        allowed = RequestRoute(RequestKind.IMPORT, flags.resubscribe, flags.queue, flags.restart)
        return (await self._import(allowed, [write], keys))[0]


def _is_written_blindly(write: PlannedWrite) -> bool:
    """Whether the state does not matter: somebody who left is cleared, or the refusal lets values through."""
    return not desired_of(write).present or write.person.attempt.refused_code == UNCONFIRMED
