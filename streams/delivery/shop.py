"""What a list's sender asks of the worker around it."""

from collections.abc import Sequence
from typing import Protocol

from streams.delivery.fields import Need
from streams.delivery.ledger import Ledger
from streams.delivery.parcel import Settled
from streams.delivery.ports import Owner
from streams.delivery.writes import field_name
from streams.domain.catalogue import Catalogue
from streams.domain.exports import ListView
from streams.domain.values import option_text


class Shop(Protocol):
    """The worker, as its senders see it."""

    owner: Owner

    def ledger(self, partition: int) -> Ledger | None:
        """The rows of a partition that this worker owns; None when it does not."""
        ...

    def listed(self, list_id: str) -> ListView | None:
        """The list's jobs as they are now."""
        ...

    def options(self, listed: ListView) -> dict[str, Need]:
        """The audiences fields of the list with every option that its jobs may use."""
        ...

    async def attend(self, list_id: str, why: str | None) -> None:
        """Say what a person has to do before the list's jobs can go on; None when it is done."""
        ...

    async def keep_refused(self, partition: int, refused: Sequence[Settled]) -> None:
        """Keep the records whose content Campaign Monitor can never take as dead letters."""
        ...


def audience_fields(listed: ListView, catalogue: Catalogue) -> dict[str, Need]:
    """Return the audiences fields of a list, by plain name, with every option that its running jobs may use."""
    fields: dict[str, Need] = {}
    for view in listed.running:
        name = view.job.custom_field_name
        need = fields.setdefault(field_name(name), Need(name, "MultiSelectMany"))
        for audience in catalogue if view.audiences is None else view.audiences:
            if (entry := catalogue.get(audience)) is not None:
                need.options.add(option_text(entry.name))
    return fields
