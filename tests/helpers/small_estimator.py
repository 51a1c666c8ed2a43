"""A default estimator small enough to be trained in tests."""

from phalanx.methods.compact import CompactConfig

SMALL = CompactConfig(size=64, widths=(8, 12, 16, 24), depths=(0, 1, 1, 1), top_down=(12, 12, 8), hidden=16)
