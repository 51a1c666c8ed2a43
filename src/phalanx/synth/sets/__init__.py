"""Sets of pictures on disk, and machines that make them together."""
