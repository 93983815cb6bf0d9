"""Two profiles that turn out to be one person's: field by field what folding all their events would have given."""

from typing import Any

from schemas.identity import domain_of
from streams.domain.mapping.fields import Fields
from streams.domain.mapping.layout import Fold, Layout
from streams.domain.mapping.merge import Hidden, Public


def join(layout: Layout, fields: Fields, other: Public, other_hidden: Hidden, address: str) -> None:
    """Fold the other profile's two parts into `fields`, whose key is `address`."""
    for number, field in enumerate(layout.fields.values()):
        if field.name not in other:
            continue
        shown = other[field.name]
        known: Any = other_hidden[field.slot] if field.slot >= 0 else None
        match field.fold:
            case Fold.IDENTITY:
                fields.identify(number, address)
            case Fold.DOMAIN:
                fields.identify(number, domain_of(address))
            case Fold.LATEST:
                fields.latest(number, shown, *known)
            case Fold.ADD:
                fields.add(number, shown)
            case Fold.MIN | Fold.MAX:
                fields.extreme(number, known)
            case Fold.SET:
                for text, ms in zip(shown, known, strict=True):
                    fields.insert(number, text, ms)
            case Fold.MAP:
                for key, text in shown.items():
                    fields.put(number, key, text, *known[key])
            case Fold.SUMS:
                for key, total in shown.items():
                    fields.bump(number, key, known[key], total)
            case Fold.TALLY:
                for key, total in shown.items():
                    fields.tally(number, int(key), total)
