"""Picture or video in, hands out."""
