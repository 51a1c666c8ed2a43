"""Protocols: predict and save, then score the saved file."""
