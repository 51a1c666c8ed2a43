"""The version of the engine."""

ENGINE = 3
"""Version of what the engine draws; raised by every change of its bytes. Frozen sets and cached starts carry it."""
