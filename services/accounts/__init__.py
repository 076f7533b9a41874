"""People, their roles at sites, sessions, tokens, and the audit log."""
