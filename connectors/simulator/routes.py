"""Every endpoint of the API that the simulator answers."""

from connectors.simulator import (
    account,
    campaign_reports,
    campaigns,
    clients,
    custom_fields,
    history,
    imports,
    journeys,
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
    *campaigns.ROUTES,
    *campaign_reports.ROUTES,
    *journeys.ROUTES,
    *history.ROUTES,
)
