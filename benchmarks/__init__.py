"""Measurements of our speed, each a ratio against a peer that did the same work in the same run."""
