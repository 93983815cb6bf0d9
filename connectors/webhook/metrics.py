"""What the receiver counts."""

from prometheus_client import Counter, Gauge, Histogram

POSTS = Counter("webhook_posts_total", "Posts by the status they were answered with.", ["status"])
REJECTED = Counter("webhook_rejected_total", "Posts that were not taken, by reason.", ["reason"])
EVENTS = Counter("webhook_events_total", "Events that the broker acknowledged, by kind.", ["event"])
ECHOES = Counter("webhook_echoes_total", "Events that were recognised as our own writes coming back.")
QUARANTINED = Counter(
    "webhook_quarantined_total", "Genuine posts that could not be read and were kept as dead letters."
)
SECONDS = Histogram(
    "webhook_acknowledge_seconds",
    "From the first byte of a post to its answer, broker included.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HOOKS = Gauge("webhook_hooks", "Lists by the state of their webhook.", ["state"])
GAPS = Counter("webhook_gaps_total", "Gaps of a webhook that were found and are polled.")
KINDS = frozenset({"subscribe", "update", "deactivate"})
"""Kinds that have a label of their own; others are counted as `other`, so that a sender cannot make labels."""
