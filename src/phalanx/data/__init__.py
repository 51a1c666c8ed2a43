"""`Sample`, reading pictures and videos, datasets."""
