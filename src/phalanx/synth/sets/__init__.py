"""Sets of pictures on disk, made by one machine or by several together."""
