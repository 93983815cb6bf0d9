"""The wanted subscriber in Campaign Monitor's words: pure translation, by the keys that the list's fields have."""

from collections.abc import Iterable, Mapping

from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import Autoresponders, FieldWrite, SubscriberWrite
from streams.domain.desired import Wanted
from streams.domain.routing import Route

Keys = Mapping[str, str]
"""Custom field's name, without regard to case -> its bracketed key."""


def field_name(text: str) -> str:
    """Return a field's name or key in the one form in which Campaign Monitor's different spellings are equal."""
    return text.strip().strip("[]").replace(" ", "").casefold()


def subscriber_of(wanted: Wanted, address: str, keys: Keys) -> SubscriberWrite:
    """Return the subscriber to write.

    A select-many field is replaced as a whole, so each of its options is there; without any it is cleared. A value
    that upstream cleared is cleared; what upstream never said is not sent and stays as it is.
    """
    return SubscriberWrite(
        email=address, name=wanted.name, custom_fields=tuple(_fields(wanted, keys)), consent_to_track=wanted.consent
    )


def taken_away(wanted: Wanted, kept: Iterable[str], address: str, keys: Keys) -> SubscriberWrite:
    """Return a write that only leaves these options of the audiences fields, and touches nothing else."""
    options = frozenset(kept)
    entries: list[FieldWrite] = []
    for name, chosen in wanted.options:
        entries += _options(keys[field_name(name)], [text for text in chosen if text in options])
    return SubscriberWrite(email=address, custom_fields=tuple(entries))


def effects_of(route: Route, *, repeated: bool) -> Autoresponders:
    """Return the call's flags. The repeat of an unknown outcome goes without those that send mails again."""
    return Autoresponders(
        resubscribe=route.resubscribe, queue=route.queue and not repeated, restart=route.restart and not repeated
    )


def holds(subscriber: Subscriber, wanted: Wanted) -> bool:
    """Say whether a subscriber, as it was read, is what was wanted: fields and options, not the state."""
    found: dict[str, set[str]] = {}
    for name, text in subscriber.custom_fields:
        found.setdefault(field_name(name), set()).add(text)
    for name, chosen in wanted.options:
        if found.get(field_name(name), set()) != set(chosen):
            return False
    return all(
        found.get(field_name(value.field), set()) == set(value.texts)
        for value in wanted.values
        if value.data_type not in ("Date", "Number")  # both may be read back in another spelling
    )


def _fields(wanted: Wanted, keys: Keys) -> Iterable[FieldWrite]:
    for name, chosen in wanted.options:
        yield from _options(keys[field_name(name)], chosen)
    for value in wanted.values:
        key = keys[field_name(value.field)]
        if not value.texts:
            yield FieldWrite(key, clear=True)
        for text in value.texts:
            yield FieldWrite(key, text)


def _options(key: str, chosen: Iterable[str]) -> list[FieldWrite]:
    return [FieldWrite(key, text) for text in chosen] or [FieldWrite(key, clear=True)]
