"""Network blocks shared by methods."""
