"""Acts on subscribers: the rules of `transitions` applied, recorded in the request log and sent to webhooks."""

from typing import NamedTuple

from connectors.devkit.simulator.data.entities import SimulatedClient, SubscriberList
from connectors.devkit.simulator.data.fields import FieldEntries, FieldValues, apply_entries
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.data.transitions import (
    SimulatedState,
    WebhookType,
    outcome_of_removal,
    outcome_of_submission,
)
from connectors.devkit.simulator.data.value_rules import USUAL_RULES, TooLongError, ValueRules
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.submission import CONSENT_TEXTS, UNCHANGED, Submission

_SIGNUP_ADDRESS = "203.0.113.9"
_REMEMBERED_WRITES = 10_000


class WriteOptions(NamedTuple):
    """How a submission is meant, and who made it."""

    who: str
    act: str
    resubscribe: bool = False
    queue: bool = False  # start subscription-based automations for new subscribers
    restart: bool = False  # restart them for known ones; counts only with `resubscribe`


def check_submission(target: SubscriberList, sub: Submission, resubscribe: bool) -> None:
    """Raise what adding would be refused with, 204 to 208, without adding."""
    _outcome(target, fold(sub.email), resubscribe)


def put_on_list(state: SimulatorState, target: SubscriberList, sub: Submission, manner: WriteOptions) -> bool:
    """Add or edit one subscriber; return whether the address was new to the list. Raises ApiError 204 to 208."""
    moment = state.clock.time()
    at = int(moment)
    folded = fold(sub.email)
    row, before, to, webhook = _outcome(target, folded, manner.resubscribe)
    subscribers = target.subscribers
    old = subscribers.values(row) if row is not None else ()
    values = values_after(state, target, sub.email, old, sub.entries)
    if row is None:
        row = subscribers.add(sub.email, folded, sub.name or "", values, to, at)
        inherit_consent(target, row, folded)
        if manner.queue and to is SimulatedState.ACTIVE:
            state.request_log.count_automation(target.list_id, folded, restarted=False)
    else:
        if before is not to:
            subscribers.move(row, to, at)
        _edit(target, row, sub, values, old)
        if manner.resubscribe and manner.restart:
            state.request_log.count_automation(target.list_id, folded, restarted=True)
    if manner.resubscribe and target.honours_suppression:
        target.client.suppressed.pop(folded, None)
    if sub.consent != UNCHANGED or sub.sms != UNCHANGED or sub.mobile is not None:
        _consents(target.client, row, target, folded, sub)
    state.request_log.record_write(
        moment, manner.who, manner.act, target.list_id, subscribers.email(row), before, to, values
    )
    if target.webhooks:
        emit_event(state, target, webhook, row, at)
    return before is None


def rewrite(state: SimulatorState, target: SubscriberList, row: int, sub: Submission, manner: WriteOptions) -> None:
    """Carry out an update (PUT): in any state, with a new address where it differs. Raises ApiError 201."""
    subscribers = target.subscribers
    before, old_email, at = subscribers.state(row), subscribers.email(row), state.clock.now()
    if fold(sub.email) != fold(old_email) and subscribers.find(fold(sub.email)) is not None:
        raise SimulatedApiError(201)
    old = subscribers.values(row)
    values = values_after(state, target, sub.email, old, sub.entries)
    if manner.resubscribe:
        if before is not SimulatedState.ACTIVE:
            subscribers.move(row, SimulatedState.UNCONFIRMED if target.confirmed_opt_in else SimulatedState.ACTIVE, at)
        if target.honours_suppression:
            target.client.suppressed.pop(fold(old_email), None)
        if manner.restart:
            state.request_log.count_automation(target.list_id, fold(sub.email), restarted=True)
    if sub.email != old_email:
        subscribers.set_email(row, sub.email)
    _edit(target, row, sub, values, old)
    _consents(target.client, row, target, fold(sub.email), sub)
    changed_from = old_email if sub.email != old_email else None
    state.request_log.record_write(
        state.clock.time(),
        manner.who,
        manner.act,
        target.list_id,
        sub.email,
        before,
        subscribers.state(row),
        subscribers.values(row),
        changed_from,
    )
    emit_event(state, target, "Update", row, at, old_email=old_email)


def remove_from_list(
    state: SimulatorState,
    target: SubscriberList,
    row: int,
    to: SimulatedState,
    who: str,
    act: str,
    *,
    quiet: bool = False,
) -> bool:
    """Unsubscribe, delete, bounce: return False when there was nobody to take off. `quiet` sends no webhook."""
    subscribers = target.subscribers
    before, at = subscribers.state(row), state.clock.now()
    result = outcome_of_removal(before, to)
    if result is None:
        return False
    subscribers.move(row, to, at)
    state.request_log.record_write(
        state.clock.time(), who, act, target.list_id, subscribers.email(row), before, to, subscribers.values(row)
    )
    if not quiet:
        emit_event(state, target, result[1], row, at)
    return True


def opt_out(state: SimulatorState, target: SubscriberList, row: int, who: str, act: str) -> bool:
    """Unsubscribe by the person's will: a list that honours the suppression list takes the client's others along."""
    email = target.subscribers.email(row)
    if not remove_from_list(state, target, row, SimulatedState.UNSUBSCRIBED, who, act):
        return False
    if target.honours_suppression:
        suppress(state, target.client, email, "Unsubscribed", who)
    return True


def suppress(state: SimulatorState, client: SimulatedClient, email: str, reason: str, who: str) -> None:
    """Put an address on the suppression list and take it off every list that honours it."""
    client.suppress(email, reason, state.clock.now())
    for other in client.lists.values():
        row = (
            other.find(email, SimulatedState.ACTIVE, SimulatedState.UNCONFIRMED) if other.honours_suppression else None
        )
        if row is not None and remove_from_list(state, other, row, SimulatedState.UNSUBSCRIBED, who, "suppress"):
            other.subscribers.by_suppression.add(row)


def confirm(state: SimulatorState, target: SubscriberList, row: int) -> bool:
    """Click the link of a confirmation mail."""
    subscribers = target.subscribers
    if subscribers.state(row) is not SimulatedState.UNCONFIRMED:
        return False
    subscribers.move(row, SimulatedState.ACTIVE, state.clock.now())
    email = subscribers.email(row)
    state.request_log.count_automation(target.list_id, fold(email), restarted=False)
    state.request_log.record_write(
        state.clock.time(),
        "person",
        "confirm",
        target.list_id,
        email,
        SimulatedState.UNCONFIRMED,
        SimulatedState.ACTIVE,
        subscribers.values(row),
    )
    emit_event(state, target, "Subscribe", row, state.clock.now())
    return True


def emit_event(
    state: SimulatorState,
    target: SubscriberList,
    webhook: WebhookType | None,
    row: int,
    at: int,
    *,
    old_email: str | None = None,
) -> None:
    """Hand an event to the webhook sender, with the subscriber as it is now."""
    if webhook is None or not target.webhooks:
        return
    subscribers = target.subscribers
    email = subscribers.email(row)
    event: dict[str, object] = {"Type": webhook, "Date": local_text(at, target.client.zone)}
    if webhook == "Update":
        event["OldEmailAddress"] = old_email or email
    event |= {"EmailAddress": email, "Name": subscribers.name(row)}
    if webhook == "Subscribe":
        event["SignupIPAddress"] = _SIGNUP_ADDRESS
    else:
        event["State"] = subscribers.state(row).text
    event["CustomFields"] = target.custom_fields(subscribers.values(row), keys="bare")
    state.emit(target, webhook, event)


def _outcome(
    target: SubscriberList, folded: str, resubscribe: bool
) -> tuple[int | None, SimulatedState | None, SimulatedState, WebhookType | None]:
    row = target.subscribers.find(folded)
    before = None if row is None else target.subscribers.state(row)
    outcome = outcome_of_submission(
        before,
        suppressed=folded in target.client.suppressed and target.honours_suppression,
        by_suppression=row in target.subscribers.by_suppression,
        resubscribe=resubscribe,
        confirmed_opt_in=target.confirmed_opt_in,
    )
    if outcome.state is None:
        raise SimulatedApiError(outcome.refusal or 206)
    return row, before, outcome.state, outcome.webhook


def values_after(
    state: SimulatorState, target: SubscriberList, email: str, old: FieldValues, entries: FieldEntries
) -> FieldValues:
    """Return the custom field values after a write; what is dropped is recorded. Raises ApiError 400."""
    if not entries:
        return old
    known = target.written.get((old, entries))
    if known is not None:
        return known  # nothing was dropped: no rule matters
    dropped = False

    def drop(key: str, value: str, reason: str) -> None:
        nonlocal dropped
        dropped = True
        state.record_dropped(target, email, key, value, reason)

    settings = state.settings
    rules = ValueRules(settings.value_limit, settings.value_units, settings.option_case)
    try:
        values = apply_entries(target.field_lookup, old, entries, drop, rules)
    except TooLongError as error:
        raise SimulatedApiError(400, f"The value of {error} is too long") from None
    if not dropped and rules == USUAL_RULES and len(target.written) < _REMEMBERED_WRITES:
        target.written[old, entries] = values
    return values


def _edit(target: SubscriberList, row: int, sub: Submission, values: FieldValues, old: FieldValues) -> None:
    if values != old:
        target.subscribers.set_values(row, values)
    if sub.name is not None and sub.name != target.subscribers.name(row):
        target.subscribers.set_name(row, sub.name)


def inherit_consent(target: SubscriberList, row: int, folded: str) -> None:
    """Tracking consent belongs to the address at the client: a new row takes it from another list."""
    for other in target.client.lists.values():
        if (
            other is not target
            and (there := other.subscribers.find(folded)) is not None
            and other.subscribers.consents[there]
        ):
            target.subscribers.consents[row] = other.subscribers.consents[there]
            return


def _consents(client: SimulatedClient, row: int, target: SubscriberList, folded: str, sub: Submission) -> None:
    if sub.consent != UNCHANGED:
        target.subscribers.consents[row] = sub.consent
        for other in client.lists.values():
            if other is not target and (there := other.subscribers.find(folded)) is not None:
                other.subscribers.consents[there] = sub.consent
    if sub.mobile is not None or sub.sms != UNCHANGED:
        number, consent = target.subscribers.phone(row) or ("", "")
        if sub.mobile is not None:
            number = sub.mobile
        if number:
            target.subscribers.set_phone(row, number, CONSENT_TEXTS[sub.sms] or consent)
        elif sub.mobile is not None:
            target.subscribers.set_phone(row, "", "")
