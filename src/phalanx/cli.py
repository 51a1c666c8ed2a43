"""The `phalanx` command: argument parsing only; every verb is a Python call."""


def main() -> int:
    """Placeholder until the verbs exist."""
    raise NotImplementedError
