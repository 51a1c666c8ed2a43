"""What everything looks like: skin, light, shading, grounds, things; and how layers come together."""
