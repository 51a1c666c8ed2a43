"""Rotations, alignment, cameras and crops: geometry that knows no hand."""
