"""Dead letters read, replayed and discarded: `letters` is pure, `replays` has the transactions."""
