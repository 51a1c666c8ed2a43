"""Losses: pure functions of tensors, returning scalars."""
