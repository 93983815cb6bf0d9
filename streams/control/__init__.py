"""What people do with authorizations, accounts and jobs: one function each, for commands and pages alike."""
