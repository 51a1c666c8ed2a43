"""A user's own recordings, without labels: networks fitted to them."""
