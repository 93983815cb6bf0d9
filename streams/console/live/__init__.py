"""Pages that change while they are shown: read once for all of them, sent as server-sent events."""
