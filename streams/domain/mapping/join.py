"""Two profiles that turn out to be one person's: field by field what folding all their events would have given."""

from collections.abc import Callable

from schemas.identity import domain_of
from streams.domain.mapping.layout import Fold, Layout, ProfileField
from streams.domain.mapping.merge import Hidden, Public, bounded, bump, include, latest, put


def join(layout: Layout, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden, address: str) -> None:
    """Fold the other profile into this one, whose key is `address`."""
    for field in layout.fields.values():
        if field.name not in other:
            continue
        if field.fold is Fold.IDENTITY:
            public[field.name] = address
        elif field.fold is Fold.DOMAIN:
            public[field.name] = domain_of(address)
        else:
            _JOINS[field.fold](field, public, hidden, other, other_hidden)


def _latest(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    latest(public, hidden, field.slot, field.name, other[field.name], other_hidden[field.slot])


def _add(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    public[field.name] = bounded(public.get(field.name, 0) + other[field.name])


def _extreme(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    mine, theirs = hidden[field.slot], other_hidden[field.slot]
    if mine is not None and (theirs >= mine if field.fold is Fold.MIN else theirs <= mine):
        return
    public[field.name], hidden[field.slot] = other[field.name], theirs


def _set(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    for text, ms in zip(other[field.name], other_hidden[field.slot], strict=True):
        place = (public, hidden, field.slot, field.name)
        include(*place, text, ms, field.capacity, field.keep_ms)


def _map(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    for key, text in other[field.name].items():
        place = (public, hidden, field.slot, field.name)
        stamp = other_hidden[field.slot][key]
        put(*place, key, text, stamp, field.capacity, field.keep_ms)


def _sums(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    for key, total in other[field.name].items():
        ms = other_hidden[field.slot][key]
        bump(public, hidden, field.slot, field.name, key, ms, field.capacity, field.keep_ms, total)


def _tally(field: ProfileField, public: Public, hidden: Hidden, other: Public, other_hidden: Hidden) -> None:
    mine = public.get(field.name, {})
    totals = {key: bounded(mine.get(key, 0) + other[field.name].get(key, 0)) for key in {*mine, *other[field.name]}}
    public[field.name] = {key: totals[key] for key in sorted(totals, key=int)}


_JOINS: dict[Fold, Callable[[ProfileField, Public, Hidden, Public, Hidden], None]] = {
    Fold.LATEST: _latest,
    Fold.ADD: _add,
    Fold.MIN: _extreme,
    Fold.MAX: _extreme,
    Fold.SET: _set,
    Fold.MAP: _map,
    Fold.SUMS: _sums,
    Fold.TALLY: _tally,
}
