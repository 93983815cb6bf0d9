"""Two profiles that turn out to be one person's: field by field what folding all their events would have given."""

from typing import Any

from schemas.identity import domain_of
from streams.mapping.fields import Fields
from streams.mapping.fields.layout import FoldMode, Layout
from streams.mapping.fields.reference import Hidden, Public


def join(layout: Layout, fields: Fields, other: Public, other_hidden: Hidden, address: str) -> None:
    """Fold the other profile's two parts into `fields`, whose key is `address`."""
    for number, field in enumerate(layout.fields.values()):
        if field.name not in other:
            continue
        shown = other[field.name]
        known: Any = other_hidden[field.slot] if field.slot >= 0 else None
        match field.fold:
            case FoldMode.IDENTITY:
                fields.identify(number, address)
            case FoldMode.DOMAIN:
                fields.identify(number, domain_of(address))
            case FoldMode.LATEST:
                fields.latest(number, shown, *known)
            case FoldMode.ADD:
                fields.add(number, shown)
            case FoldMode.MIN | FoldMode.MAX:
                fields.extreme(number, known)
            case FoldMode.SET:
                for text, ms in zip(shown, known, strict=True):
                    fields.insert(number, text, ms)
            case FoldMode.MAP:
                for key, text in shown.items():
                    fields.put(number, key, text, *known[key])
            case FoldMode.SUMS:
                for key, total in shown.items():
                    fields.bump(number, key, known[key], total)
            case FoldMode.BUCKETS:
                for key, total in shown.items():
                    fields.add_to_bucket(number, int(key), total)
