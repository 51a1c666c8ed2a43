"""Things that hands hold and that stand about: models with textures, where they go, and how they look."""
