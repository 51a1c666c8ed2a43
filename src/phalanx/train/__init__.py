"""The training loop, checkpoints and data feeding. `loop` knows no method; the other modules join one to it."""
