"""Pages for people: authorizations, exports, imports and their jobs, rendered on the server."""
