"""Acts on subscribers: the rules of `transitions` carried out, written in the books and announced to webhooks."""

from typing import NamedTuple

from connectors.devkit.simulator.data.entities import Client, SubscriberList
from connectors.devkit.simulator.data.fields import Entries, Values, written
from connectors.devkit.simulator.data.roster import fold
from connectors.devkit.simulator.data.transitions import State, WebhookType, leave, submit
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.protocol.errors import ApiError
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.submission import CONSENT_TEXTS, UNCHANGED, Submission

_SIGNUP_ADDRESS = "203.0.113.9"
_REMEMBERED_WRITES = 10_000


class Manner(NamedTuple):
    """How a submission is meant, and who made it."""

    who: str
    act: str
    resubscribe: bool = False
    queue: bool = False  # start subscription-based automations for new subscribers
    restart: bool = False  # start them again for known ones; counts only with `resubscribe`


def check_submission(target: SubscriberList, sub: Submission, resubscribe: bool) -> None:
    """Raise what adding would be refused with, 204 to 208, without adding."""
    _outcome(target, fold(sub.email), resubscribe)


def put_on_list(state: SimulatorState, target: SubscriberList, sub: Submission, manner: Manner) -> bool:
    """Add or edit one subscriber; return whether the address was new to the list. Raises ApiError 204 to 208."""
    moment = state.clock.time()
    at = int(moment)
    folded = fold(sub.email)
    row, before, to, webhook = _outcome(target, folded, manner.resubscribe)
    roster = target.roster
    old = roster.values(row) if row is not None else ()
    values = _values(state, target, sub.email, old, sub.entries)
    if row is None:
        row = roster.add(sub.email, folded, sub.name or "", values, to, at)
        _inherit_consent(target, row, folded)
        if manner.queue and to is State.ACTIVE:
            state.books.automation(target.list_id, folded, restarted=False)
    else:
        if before is not to:
            roster.move(row, to, at)
        _edit(target, row, sub, values, old)
        if manner.resubscribe and manner.restart:
            state.books.automation(target.list_id, folded, restarted=True)
    if manner.resubscribe and target.honours_suppression:
        target.client.suppressed.pop(folded, None)
    if sub.consent != UNCHANGED or sub.sms != UNCHANGED or sub.mobile is not None:
        _consents(target.client, row, target, folded, sub)
    state.books.wrote(moment, manner.who, manner.act, target.list_id, roster.email(row), before, to, values)
    if target.webhooks:
        announce(state, target, webhook, row, at)
    return before is None


def rewrite(state: SimulatorState, target: SubscriberList, row: int, sub: Submission, manner: Manner) -> None:
    """Carry out an update (PUT): in any state, with a new address where it differs. Raises ApiError 201."""
    roster = target.roster
    before, old_email, at = roster.state(row), roster.email(row), state.clock.now()
    if fold(sub.email) != fold(old_email) and roster.find(fold(sub.email)) is not None:
        raise ApiError(201)
    old = roster.values(row)
    values = _values(state, target, sub.email, old, sub.entries)
    if manner.resubscribe:
        if before is not State.ACTIVE:
            roster.move(row, State.UNCONFIRMED if target.confirmed_opt_in else State.ACTIVE, at)
        if target.honours_suppression:
            target.client.suppressed.pop(fold(old_email), None)
        if manner.restart:
            state.books.automation(target.list_id, fold(sub.email), restarted=True)
    if sub.email != old_email:
        roster.set_email(row, sub.email)
    _edit(target, row, sub, values, old)
    _consents(target.client, row, target, fold(sub.email), sub)
    changed_from = old_email if sub.email != old_email else None
    state.books.wrote(
        state.clock.time(),
        manner.who,
        manner.act,
        target.list_id,
        sub.email,
        before,
        roster.state(row),
        roster.values(row),
        changed_from,
    )
    announce(state, target, "Update", row, at, old_email=old_email)


def take_off(
    state: SimulatorState, target: SubscriberList, row: int, to: State, who: str, act: str, *, quiet: bool = False
) -> bool:
    """Unsubscribe, delete, bounce: return False when there was nobody to take off. `quiet` sends no webhook."""
    roster = target.roster
    before, at = roster.state(row), state.clock.now()
    result = leave(before, to)
    if result is None:
        return False
    roster.move(row, to, at)
    state.books.wrote(state.clock.time(), who, act, target.list_id, roster.email(row), before, to, roster.values(row))
    if not quiet:
        announce(state, target, result[1], row, at)
    return True


def opt_out(state: SimulatorState, target: SubscriberList, row: int, who: str, act: str) -> bool:
    """Unsubscribe by the person's will: a list that honours the suppression list takes the client's others along."""
    email = target.roster.email(row)
    if not take_off(state, target, row, State.UNSUBSCRIBED, who, act):
        return False
    if target.honours_suppression:
        suppress(state, target.client, email, "Unsubscribed", who)
    return True


def suppress(state: SimulatorState, client: Client, email: str, reason: str, who: str) -> None:
    """Put an address on the suppression list and take it off every list that honours it."""
    client.suppress(email, reason, state.clock.now())
    for other in client.lists.values():
        row = other.find(email, State.ACTIVE, State.UNCONFIRMED) if other.honours_suppression else None
        if row is not None and take_off(state, other, row, State.UNSUBSCRIBED, who, "suppress"):
            other.roster.by_suppression.add(row)


def confirm(state: SimulatorState, target: SubscriberList, row: int) -> bool:
    """Click the link of a confirmation mail."""
    roster = target.roster
    if roster.state(row) is not State.UNCONFIRMED:
        return False
    roster.move(row, State.ACTIVE, state.clock.now())
    email = roster.email(row)
    state.books.automation(target.list_id, fold(email), restarted=False)
    state.books.wrote(
        state.clock.time(),
        "person",
        "confirm",
        target.list_id,
        email,
        State.UNCONFIRMED,
        State.ACTIVE,
        roster.values(row),
    )
    announce(state, target, "Subscribe", row, state.clock.now())
    return True


def announce(
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
    roster = target.roster
    email = roster.email(row)
    event: dict[str, object] = {"Type": webhook, "Date": local_text(at, target.client.zone)}
    if webhook == "Update":
        event["OldEmailAddress"] = old_email or email
    event |= {"EmailAddress": email, "Name": roster.name(row)}
    if webhook == "Subscribe":
        event["SignupIPAddress"] = _SIGNUP_ADDRESS
    else:
        event["State"] = roster.state(row).text
    event["CustomFields"] = target.custom_fields(roster.values(row), keys="bare")
    state.emit(target, webhook, event)


def _outcome(
    target: SubscriberList, folded: str, resubscribe: bool
) -> tuple[int | None, State | None, State, WebhookType | None]:
    row = target.roster.find(folded)
    before = None if row is None else target.roster.state(row)
    outcome = submit(
        before,
        suppressed=folded in target.client.suppressed and target.honours_suppression,
        by_suppression=row in target.roster.by_suppression,
        resubscribe=resubscribe,
        confirmed_opt_in=target.confirmed_opt_in,
    )
    if outcome.state is None:
        raise ApiError(outcome.refusal or 206)
    return row, before, outcome.state, outcome.webhook


def _values(state: SimulatorState, target: SubscriberList, email: str, old: Values, entries: Entries) -> Values:
    if not entries:
        return old
    known = target.written.get((old, entries))
    if known is not None:
        return known
    dropped = False

    def drop(key: str, value: str, reason: str) -> None:
        nonlocal dropped
        dropped = True
        state.drop(target, email, key, value, reason)

    values = written(target.field_lookup, old, entries, drop, state.settings.value_limit)
    if not dropped and len(target.written) < _REMEMBERED_WRITES:
        target.written[old, entries] = values
    return values


def _edit(target: SubscriberList, row: int, sub: Submission, values: Values, old: Values) -> None:
    if values != old:
        target.roster.set_values(row, values)
    if sub.name is not None and sub.name != target.roster.name(row):
        target.roster.set_name(row, sub.name)


def _inherit_consent(target: SubscriberList, row: int, folded: str) -> None:
    """Tracking consent belongs to the address at the client: a new row takes it from another list."""
    for other in target.client.lists.values():
        if other is not target and (there := other.roster.find(folded)) is not None and other.roster.consents[there]:
            target.roster.consents[row] = other.roster.consents[there]
            return


def _consents(client: Client, row: int, target: SubscriberList, folded: str, sub: Submission) -> None:
    if sub.consent != UNCHANGED:
        target.roster.consents[row] = sub.consent
        for other in client.lists.values():
            if other is not target and (there := other.roster.find(folded)) is not None:
                other.roster.consents[there] = sub.consent
    if sub.mobile is not None or sub.sms != UNCHANGED:
        number, consent = target.roster.phone(row) or ("", "")
        if sub.mobile is not None:
            number = sub.mobile
        if number:
            target.roster.set_phone(row, number, CONSENT_TEXTS[sub.sms] or consent)
        elif sub.mobile is not None:
            target.roster.set_phone(row, "", "")
