"""The console's API: JSON over HTTP under `/api/v1`, for what commands and pages do.

`openapi` lists them; a handler is a few lines around the same functions that the commands use.
"""
