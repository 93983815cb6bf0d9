"""Every endpoint of the API that the simulator answers."""

from connectors.simulator import (
    account,
    clients,
    custom_fields,
    imports,
    lists,
    segments,
    subscriber_listings,
    subscribers,
    suppression,
    webhooks,
)

ROUTES = (
    *account.ROUTES,
    *clients.ROUTES,
    *lists.ROUTES,
    *custom_fields.ROUTES,
    *imports.ROUTES,
    *subscribers.ROUTES,
    *subscriber_listings.ROUTES,
    *segments.ROUTES,
    *suppression.ROUTES,
    *webhooks.ROUTES,
)
