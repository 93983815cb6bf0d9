"""What every worker needs beside its streams: dead letters, metrics, health."""
