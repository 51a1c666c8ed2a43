"""Errors, safe file writing, seeding: what every room may use."""
