"""What everything looks like: skin, clothes, light, shading, backgrounds, things; and how the layers of a picture are put together."""
