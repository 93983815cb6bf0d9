"""One module per resource of the API, one method per endpoint that we use, named as the reference names it."""
