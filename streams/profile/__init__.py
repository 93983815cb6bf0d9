"""The profile aggregator: cm_user, cm_activity and added streams in, cm_profile out. See docs/mapping.md."""
