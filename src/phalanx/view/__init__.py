"""Overlays: pictures for people."""
