"""What an import's answer means for each of its people. Pure, but for the jitter of retries."""

import random
from collections.abc import Sequence

from connectors.campaign_monitor.client.entities import ImportResult
from connectors.campaign_monitor.client.requests import Autoresponders, address_key
from connectors.campaign_monitor.errors.verdicts import Verdict, refusal
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.flat_import import FlatImport
from streams.export.rules.outcome import Delivered, RetryLater, SendDecision, SplitRequest, classify
from streams.export.sending.direct_queue import FlatAnswer
from streams.export.sending.plan import PlannedWrite, WriteResult, is_unknown, waits_for_confirmation, was_added

ImportAnswer = ImportResult | Verdict
"""What came back: the result, also of a call that failed for some of its people; or what the error means."""


def results_of(
    writes: Sequence[PlannedWrite], answer: ImportAnswer, effects: Autoresponders, *, confirms: bool
) -> list[WriteResult]:
    """Return what came back for each person. `confirms`: who is added has to confirm it."""
    if not isinstance(answer, ImportResult):
        return [WriteResult(write, classified(answer, write)) for write in writes]
    addressed = [(write, written_address(write)) for write in writes]
    failures = {address_key(failure.email): failure.code for failure in answer.failures}
    if answer.failures and len(addressed) == 1:  # whatever spelling of the address it names
        failures = {address_key(addressed[0][1]): answer.failures[0].code}
    matched = failures.keys() <= {address_key(address) for _, address in addressed}
    taken = [write for write, address in addressed if address_key(address) not in failures]
    unknown = sum(is_unknown(write) for write in taken)
    everybody = answer.new >= len(taken)
    results: list[WriteResult] = []
    for write, address in addressed:
        code = failures.get(address_key(address))
        if code is None and not matched:  # the failure of somebody among these: found in smaller requests
            write.person.attempt.outcome_unknown = True
            results.append(WriteResult(write, SplitRequest(None)))
        elif code is None:
            added = everybody or was_added(write, answer.new, unknown)
            message = waits_for_confirmation(added, effects) if confirms else None
            results.append(WriteResult(write, Delivered(), address, added, message=message))
        else:
            results.append(WriteResult(write, classified(refusal(code), write)))
    return results


def flat_answer(people: Sequence[FlatImport], answer: ImportAnswer) -> tuple[FlatAnswer, SendDecision]:
    """Return what came back for people who were read as bytes, and what follows from it for the list."""
    everybody = frozenset(person.key for person in people)
    if not isinstance(answer, ImportResult):
        decision = classify(answer, 1, random.random())
        unknown = isinstance(decision, RetryLater) and decision.outcome_unknown
        return FlatAnswer(everybody, 0, unknown), decision
    failures = {address_key(failure.email).encode() for failure in answer.failures}
    if not failures <= everybody:
        return FlatAnswer(everybody, 0, outcome_unknown=True), Delivered()
    return FlatAnswer(frozenset(failures), answer.new), Delivered()


def classified(verdict: Verdict, write: PlannedWrite) -> SendDecision:
    """Return what follows from a verdict on a person's request."""
    return classify(verdict, write.person.attempts + 1, random.random())


def desired_of(write: PlannedWrite) -> DesiredSubscriber:
    """Return what is written. Raises ValueError for nothing."""
    if write.state is None:
        raise ValueError("a write without content cannot be sent")
    return write.state.desired


def written_address(write: PlannedWrite) -> str:
    """Return where to write: a person who left is found under the address that the list has. Raises ValueError."""
    desired = desired_of(write)
    known = write.held.address if write.held is not None else None
    address = desired.address if desired.present else known or desired.address
    if address is None:
        raise ValueError("a write without address cannot be sent")
    return address
